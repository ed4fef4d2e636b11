// World http-filter: plugin.ts, as the canonical ABI wants it, and the exchange that it sees. `littoral plugin build` gives the exports
// their names.
import { give, room, takeBack, text } from "./littoral";
import { init, onLookup, onOrigin, onRequest, onResponse } from "./plugin";
export { cabi_realloc } from "./littoral";
import { Asks, Reply } from "./exchange";

const area: usize = memory.data(24, 4);

function done(): void {
  takeBack();
  __collect();
}

export function filter_init(config: usize, bytes: usize): usize {
  const asks = new Asks();
  const problem = init(text(config, bytes), asks);
  memory.fill(area, 0, 12);
  if (problem) {
    store<u8>(area, 1);
    give(problem, area + 4);
  } else {
    store<u8>(area, asks.points, 4);
    store<u8>(area, asks.reuse ? 1 : 0, 6);
  }
  return area;
}
export function post_filter_init(place: usize): void { done(); }

export function filter_on_request(): usize {
  const reply = new Reply();
  memory.fill(area, 0, 24);
  if (!onRequest(reply)) return area;
  store<u8>(area, 1);
  store<u16>(area, reply.status, 4);
  const fields = room(<usize>reply.names.length * 16);
  for (let at = 0; at < reply.names.length; at++) {
    give(reply.names[at], fields + at * 16);
    give(reply.values[at], fields + at * 16 + 8);
  }
  store<u32>(area, <u32>fields, 8);
  store<u32>(area, <u32>reply.names.length, 12);
  give(reply.body, area + 16);
  return area;
}
export function post_filter_on_request(place: usize): void { done(); }

export function filter_on_lookup(): usize {
  const target = onLookup();
  store<u8>(area, target ? 1 : 0);
  if (target) give(target, area + 4);
  return area;
}
export function post_filter_on_lookup(place: usize): void { done(); }

export function filter_on_origin(): i32 {
  onOrigin();
  done();
  return 0;
}

export function filter_on_response(): void {
  onResponse();
  done();
}

// Bodies pass as they are: what rewrites them is better written in Rust or C, which see bytes.
export function filter_on_body(data: usize, bytes: usize, last: i32): usize {
  store<u32>(area, <u32>data);
  store<u32>(area, <u32>bytes, 4);
  store<u32>(area, 0, 8);
  return area;
}
export function post_filter_on_body(place: usize): void { done(); }
