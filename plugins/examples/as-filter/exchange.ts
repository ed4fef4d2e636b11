// The request at hand, and at `origin` and `response` its response.
import { give, text } from "./littoral";

export const AT_REQUEST: u8 = 1;
export const AT_LOOKUP: u8 = 2;
export const AT_ORIGIN: u8 = 4;
export const AT_RESPONSE: u8 = 8;

// What a filter asks for.
export class Asks {
  points: u8 = 0;
  reuse: bool = true;
}

// A response of the filter's own.
export class Reply {
  status: u16 = 200;
  names: string[] = [];
  values: string[] = [];
  body: string = "";
  field(name: string, value: string): void {
    this.names.push(name);
    this.values.push(value);
  }
}

// @ts-ignore: decorator
@external("littoral:plugin/exchange@0.1.0", "method") declare function hostMethod(area: usize): void;
// @ts-ignore: decorator
@external("littoral:plugin/exchange@0.1.0", "host") declare function hostHost(area: usize): void;
// @ts-ignore: decorator
@external("littoral:plugin/exchange@0.1.0", "target") declare function hostTarget(area: usize): void;
// @ts-ignore: decorator
@external("littoral:plugin/exchange@0.1.0", "client") declare function hostClient(area: usize): void;
// @ts-ignore: decorator
@external("littoral:plugin/exchange@0.1.0", "secure") export declare function secure(): bool;
// @ts-ignore: decorator
@external("littoral:plugin/exchange@0.1.0", "status") export declare function status(): u16;
// @ts-ignore: decorator
@external("littoral:plugin/exchange@0.1.0", "request-field") declare function hostRequestField(name: usize, bytes: usize, area: usize): void;
// @ts-ignore: decorator
@external("littoral:plugin/exchange@0.1.0", "field") declare function hostField(name: usize, bytes: usize, area: usize): void;
// @ts-ignore: decorator
@external("littoral:plugin/exchange@0.1.0", "set-field") declare function hostSetField(name: usize, bytes: usize, value: usize, length: usize): void;
// @ts-ignore: decorator
@external("littoral:plugin/exchange@0.1.0", "add-field") declare function hostAddField(name: usize, bytes: usize, value: usize, length: usize): void;
// @ts-ignore: decorator
@external("littoral:plugin/exchange@0.1.0", "remove-field") declare function hostRemoveField(name: usize, bytes: usize): void;
// @ts-ignore: decorator
@external("littoral:plugin/exchange@0.1.0", "set-target") declare function hostSetTarget(target: usize, bytes: usize): void;

const one: usize = memory.data(16, 4);
const other: usize = memory.data(16, 4);

function readText(area: usize): string { return text(load<u32>(area), load<u32>(area, 4)); }

export function method(): string { hostMethod(other); return readText(other); }
export function host(): string { hostHost(other); return readText(other); }
export function target(): string { hostTarget(other); return readText(other); }
export function client(): string { hostClient(other); return readText(other); }

export function requestField(name: string): string | null {
  give(name, one);
  hostRequestField(load<u32>(one), load<u32>(one, 4), other);
  return load<u8>(other) ? readText(other + 4) : null;
}
export function field(name: string): string | null {
  give(name, one);
  hostField(load<u32>(one), load<u32>(one, 4), other);
  return load<u8>(other) ? readText(other + 4) : null;
}
export function setField(name: string, value: string): void {
  give(name, one);
  give(value, other);
  hostSetField(load<u32>(one), load<u32>(one, 4), load<u32>(other), load<u32>(other, 4));
}
export function addField(name: string, value: string): void {
  give(name, one);
  give(value, other);
  hostAddField(load<u32>(one), load<u32>(one, 4), load<u32>(other), load<u32>(other, 4));
}
export function removeField(name: string): void {
  give(name, one);
  hostRemoveField(load<u32>(one), load<u32>(one, 4));
}
export function setTarget(to: string): void {
  give(to, one);
  hostSetTarget(load<u32>(one), load<u32>(one, 4));
}
