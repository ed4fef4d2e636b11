// Which representation: by the buffer alone (BBA-0, Huang et al., SIGCOMM 2014): the lowest rung below a reserve, the highest above a cushion, and
// between them in proportion. In AssemblyScript.
//
//     config = { reserve_ms = 5000, cushion_ms = 15000 }
import { Answer, Ask, number } from "./littoral";

let reserveMs: u64 = 5000;
let cushionMs: u64 = 15000;

export function init(config: string): string | null {
  reserveMs = number(config, "reserve_ms", 5000);
  cushionMs = number(config, "cushion_ms", 15000);
  return reserveMs < cushionMs && cushionMs <= 600000 ? null : "reserve_ms is less than cushion_ms, and that at most 600000";
}

export function select(ask: Ask, ladder: StaticArray<u32>, answer: Answer): void {
  const highest = ladder.length - 1;
  if (highest < 1 || <u64>ask.bufferMs <= reserveMs) return;
  if (<u64>ask.bufferMs >= cushionMs) {
    answer.rung = <u8>highest;
    return;
  }
  const lowest = <u64>ladder[0];
  const carried = lowest + (<u64>ladder[highest] - lowest) * (<u64>ask.bufferMs - reserveMs) / (cushionMs - reserveMs);
  for (let rung = 0; rung <= highest && <u64>ladder[rung] <= carried; rung++) answer.rung = <u8>rung;
}
