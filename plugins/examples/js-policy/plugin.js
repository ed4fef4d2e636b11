// Chooses rungs by what is buffered: the lowest up to a reserve, the highest from a cushion on, in proportion between them. In JavaScript.
//
//     fuel = 2000000
//     config = { reserve_ms = 5000, cushion_ms = 15000 }

const ladders = new Map();
let reserveMs = 5000;
let cushionMs = 15000;

export const control = {
  init(config) {
    ({ reserve_ms: reserveMs = 5000, cushion_ms: cushionMs = 15000 } = JSON.parse(config));
    if (!(reserveMs < cushionMs && cushionMs <= 600000)) throw "reserve_ms is less than cushion_ms, and that at most 600000";
  },
  clusters(version, all) {},
  ladder(id, kbps) {
    ladders.set(id, kbps);
  },
};

export const rate = {
  select({ ladder, bufferMs, state }) {
    const kbps = ladders.get(ladder) ?? [];
    const highest = kbps.length - 1;
    let rung = 0;
    if (highest >= 1 && bufferMs >= cushionMs) {
      rung = highest;
    } else if (highest >= 1 && bufferMs > reserveMs) {
      const carried = kbps[0] + ((kbps[highest] - kbps[0]) * (bufferMs - reserveMs)) / (cushionMs - reserveMs);
      while (rung < highest && kbps[rung + 1] <= carried) rung++;
    }
    return { rung, paceKbps: 0, holdMs: 0, state };
  },
};
