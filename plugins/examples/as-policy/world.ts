// World rate-policy: plugin.ts, as the canonical ABI wants it. `littoral plugin build` gives the exports their names.
import { Answer, Ask, takeBack, text, verdict } from "./littoral";
import { init, select } from "./plugin";
export { cabi_realloc } from "./littoral";

const LADDERS_MAX = 64;
const ladders = new Map<u32, StaticArray<u32>>();
const none = new StaticArray<u32>(0);
const ask = changetype<Ask>(memory.data(offsetof<Ask>(), 8));
const answer = changetype<Answer>(memory.data(24, 8));

export function control_init(config: usize, bytes: usize): usize { return verdict(init(text(config, bytes))); }
export function post_control_init(area: usize): void { takeBack(); }
export function control_clusters(version: u64, all: usize, count: usize): void { takeBack(); }
export function control_ladder(id: u32, kbps: usize, count: usize): void {
  const rungs = new StaticArray<u32>(<i32>count);
  memory.copy(changetype<usize>(rungs), kbps, count * 4);
  if (ladders.size >= LADDERS_MAX && !ladders.has(id)) ladders.clear();
  ladders.set(id, rungs);
  takeBack();
  __collect();
}
export function rate_select(
  state: u64, estKbps: u32, bufferMs: u32, lastRung: u32, segmentMs: u32, ladder: u32, nowMs: u64, rand: u64,
): usize {
  ask.state = state; ask.estKbps = estKbps; ask.bufferMs = bufferMs; ask.lastRung = <u8>lastRung; ask.segmentMs = segmentMs;
  ask.nowMs = nowMs; ask.rand = rand;
  answer.rung = 0; answer.paceKbps = 0; answer.holdMs = 0; answer.state = state;
  select(ask, ladders.has(ladder) ? ladders.get(ladder) : none, answer);
  return changetype<usize>(answer);
}
