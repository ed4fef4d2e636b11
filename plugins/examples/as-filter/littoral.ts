// The contract littoral:plugin@0.1.0 for AssemblyScript. Units and bounds are in wit/policy.wit and wit/filter.wit.
//
// What the host hands in lies in an arena, which is taken back as a whole when a call has been answered; records are seen in place
// (`@unmanaged`), so that a call of a policy allocates nothing. `littoral plugin build` compiles world.ts with plugin.ts.

export const NONE: u16 = 65535; // no cluster, no zone
export const NO_RUNG: u8 = 255; // no rung before

// @ts-ignore: decorator
@unmanaged export class Cluster {
  index: u16; deep: bool; healthy: bool; x: f32; y: f32; z: f32; capMbps: u32; loadPermille: u16; rttUs: u32;
}
// @ts-ignore: decorator
@unmanaged export class Flow {
  key: u64; addrHi: u64; addrLo: u64; candidates: u64; nowMs: u64; rand: u64; x: f32; y: f32; z: f32; zone: u16;
}
// @ts-ignore: decorator
@unmanaged export class Choice { first: u16; second: u16; third: u16; ttlS: u16; }
// @ts-ignore: decorator
@unmanaged export class Ask {
  state: u64; nowMs: u64; rand: u64; estKbps: u32; bufferMs: u32; segmentMs: u32; lastRung: u8;
}
// @ts-ignore: decorator
@unmanaged export class Answer { rung: u8; paceKbps: u32; holdMs: u16; state: u64; }
// @ts-ignore: decorator
@unmanaged export class Stored {
  id: u64; bytes: u64; ageS: u32; idleS: u32; ttlS: u32; fetchUs: u32; hits: u16; class: u16;
}

const ARENA_BYTES: usize = 256 << 10;
const arena: usize = memory.data(262144, 16);
let taken: usize = 0;

export function room(bytes: usize): usize {
  const start = (taken + 15) & ~(<usize>15);
  if (bytes > ARENA_BYTES || start + bytes > ARENA_BYTES) unreachable();
  taken = start + bytes;
  return arena + start;
}

export function takeBack(): void { taken = 0; }

export function cabi_realloc(old: usize, oldBytes: usize, align: usize, bytes: usize): usize {
  if (!bytes) return align;
  const made = room(bytes);
  if (oldBytes) memory.copy(made, old, min(oldBytes, bytes));
  return made;
}

// Text in UTF-8, in the arena: writes its place and length to `area`.
export function give(text: string, area: usize): void {
  const bytes = <usize>String.UTF8.byteLength(text);
  const place = room(bytes);
  String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, place);
  store<u32>(area, <u32>place);
  store<u32>(area, <u32>bytes, 4);
}

export function text(place: usize, bytes: usize): string { return String.UTF8.decodeUnsafe(place, bytes); }

const refused: usize = memory.data(12, 4);
// What `init` answers: nothing, or why it refuses its config.
export function verdict(problem: string | null): usize {
  store<u8>(refused, problem ? 1 : 0);
  if (problem) give(problem, refused + 4);
  return refused;
}

// A whole number of the operator's config (JSON), or what it is without one.
export function number(config: string, key: string, otherwise: u64): u64 {
  const at = config.indexOf('"' + key + '":');
  if (at < 0) return otherwise;
  let behind = config.substring(at + key.length + 3).trimStart();
  let digits = 0;
  while (digits < behind.length && behind.charCodeAt(digits) >= 48 && behind.charCodeAt(digits) <= 57) digits++;
  return digits ? U64.parseInt(behind.substring(0, digits)) : otherwise;
}

// A text of the config without escapes, or what it is without one.
export function setting(config: string, key: string, otherwise: string): string {
  const at = config.indexOf('"' + key + '":"');
  if (at < 0) return otherwise;
  const start = at + key.length + 4;
  return config.substring(start, config.indexOf('"', start));
}

// @ts-ignore: decorator
@external("littoral:plugin/env@0.1.0", "log")
declare function hostLog(level: i32, text: usize, bytes: usize): void;
// @ts-ignore: decorator
@external("littoral:plugin/env@0.1.0", "count")
export declare function count(counter: u32, delta: u64): void;

// A line for the node's log: 0 debug, 1 info, 2 warn, 3 error.
export function log(level: i32, line: string): void {
  const area: usize = memory.data(8, 4);
  give(line, area);
  hostLog(level, load<u32>(area), load<u32>(area, 4));
}
