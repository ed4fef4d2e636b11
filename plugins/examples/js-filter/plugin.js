// Answers requests of some clients' programs: 403 to a User-Agent that a regular expression of the config finds something in. In JavaScript.
//
//     config = { agent = "^BadBot/|curl" }
import { requestField, setField } from "littoral:plugin/exchange@0.1.0";

let agent = null;

// Text in UTF-8; there is no TextEncoder here.
const bytes = (text) => Uint8Array.from(unescape(encodeURIComponent(text)), (character) => character.charCodeAt(0));
const latin1 = (value) => String.fromCharCode(...value);

export const filter = {
  init(config) {
    const told = JSON.parse(config).agent;
    if (!told) throw "agent: write what of a User-Agent is refused, as a regular expression";
    try {
      agent = new RegExp(told);
    } catch (error) {
      throw `agent: ${error.message}`;
    }
    return { points: { request: true, lookup: false, origin: false, response: true }, bodies: false, reuse: true };
  },
  onRequest() {
    const sent = requestField("user-agent");
    if (!sent || !agent.test(latin1(sent))) return null;
    const fields = [["content-type", bytes("text/plain")], ["cache-control", bytes("no-store")]];
    return { status: 403, fields, body: bytes(`not for ${latin1(sent)}\n`) };
  },
  onLookup: () => null,
  onOrigin: () => false,
  onResponse() {
    setField("x-checked", bytes("agent"));
  },
  onBody: (data, last) => ({ out: data, hold: 0 }),
};
