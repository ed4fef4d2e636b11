// Answers requests of some clients' programs: 403 to a User-Agent that begins with what the config says. In AssemblyScript.
//
//     config = { agent = "BadBot/" }
import { setting } from "./littoral";
import { AT_REQUEST, AT_RESPONSE, Asks, Reply, requestField, setField } from "./exchange";

let agent = "";

export function init(config: string, asks: Asks): string | null {
  agent = setting(config, "agent", "");
  asks.points = AT_REQUEST | AT_RESPONSE;
  return agent.length ? null : "agent: write how the User-Agent begins that is refused";
}

export function onRequest(reply: Reply): bool {
  const sent = requestField("user-agent");
  if (!sent || !sent.startsWith(agent)) return false;
  reply.status = 403;
  reply.field("content-type", "text/plain");
  reply.field("cache-control", "no-store");
  reply.body = "not for " + sent + "\n";
  return true;
}

export function onLookup(): string | null { return null; }
export function onOrigin(): void {}
export function onResponse(): void { setField("x-checked", "agent"); }
