// What the run was: columns of numbers become marks, and marks become lives of machines, ends of logs, and cuts.

// A machine's changes, by the number in its mark.
const CHANGES = ["set up", "started", "ended", "crashed", "power lost", "power back", "paused", "resumed", "wall clock moved",
  "clock drift set"];
const ACCIDENTS = [3, 4, 6, 8, 9];
const STARTED = 1, PAUSED = 6, RESUMED = 7, WALL_CLOCK = 8, DRIFT = 9;

function readStory(data) {
  const count = data.kind.length;
  const story = {
    count, lanes: data.lanes, partitions: data.partitions, kinds: data.kinds,
    endedAt: data.endedAt,
    at: new Float64Array(count),
    until: new Float64Array(count),
    arrived: new Uint8Array(count),
    kind: Uint8Array.from(data.kind),
    lane: Int16Array.from(data.lane),
    to: Int16Array.from(data.to),
    label: i => data.texts[data.label[i]],
    detail: i => data.texts[data.detail[i]],
    about: i => data.sets[data.set[i]],
    number: (i, which) => data.numbers[i][which] ?? 0,
  };
  let at = 0;
  for (let i = 0; i < count; i++) {
    at += data.at[i];
    story.at[i] = at;
    story.arrived[i] = data.lasts[i] >= 0 ? 1 : 0;
    story.until[i] = at + Math.max(0, data.lasts[i]);
  }
  story.code = Object.fromEntries(data.kinds.map((name, code) => [name, code]));
  story.lives = readLives(story);
  story.replicas = readReplicas(story);
  story.cuts = readCuts(story);
  story.isArrow = code => code <= story.code.Lost;
  return story;
}

// For each lane, pieces of time in which it was up, paused or down.
function readLives(story) {
  const lives = story.lanes.map(() => []);
  for (let i = 0; i < story.count; i++) {
    if (story.kind[i] !== story.code.Machine) continue;
    const change = story.number(i, 0);
    if (change >= WALL_CLOCK) continue;
    const state = change === STARTED || change === RESUMED ? "up" : change === PAUSED ? "paused" : "down";
    const life = lives[story.lane[i]];
    const last = life.at(-1);
    if (last) last.until = story.at[i];
    life.push({ from: story.at[i], until: story.endedAt, state, word: CHANGES[change] });
  }
  return lives;
}

// From the start of each process to its end.
function lifetimes(life) {
  const times = [];
  for (const [index, piece] of life.entries()) {
    if (piece.state === "down") continue;
    if (index > 0 && life[index - 1].state !== "down") times.at(-1)[1] = piece.until;
    else times.push([piece.from, piece.until]);
  }
  return times;
}

// For each lane of a broker, how its replicas moved: one list for each partition, and their sum.
function readReplicas(story) {
  const replicas = story.lanes.map(() => null);
  for (let i = 0; i < story.count; i++) {
    if (story.kind[i] !== story.code.Replica) continue;
    const own = replicas[story.lane[i]] ??= { of: new Map(), now: new Map(), sum: [], process: 0 };
    const process = story.lives[story.lane[i]].findLast(piece => piece.word === "started" && piece.from <= story.at[i]);
    // A new process knows nothing of the one before.
    if (own.process !== process?.from) own.now.clear();
    own.process = process?.from;
    const partition = story.about(i)[0] ?? -1;
    const status = { at: story.at[i], end: story.number(i, 0), high: story.number(i, 1), epoch: story.number(i, 2),
      leads: story.number(i, 3) === 1 };
    if (!own.of.has(partition)) own.of.set(partition, []);
    own.of.get(partition).push(status);
    own.now.set(partition, status);
    const sum = { at: status.at, end: 0, high: 0, epoch: 0, leads: false };
    for (const each of own.now.values()) {
      sum.end += each.end;
      sum.high += each.high;
      sum.epoch = Math.max(sum.epoch, each.epoch);
      sum.leads ||= each.leads;
    }
    own.sum.push(sum);
  }
  return replicas;
}

// Pieces of time in which a link was cut; two directions cut together are one.
function readCuts(story) {
  const open = new Map(), cuts = [];
  for (let i = 0; i < story.count; i++) {
    if (story.kind[i] !== story.code.Link) continue;
    const key = story.lane[i] + ">" + story.to[i];
    if (story.number(i, 0) === 1) {
      const cut = { from: story.lane[i], to: story.to[i], since: story.at[i], until: story.endedAt, both: false };
      open.set(key, cut);
      cuts.push(cut);
    } else if (open.has(key)) {
      open.get(key).until = story.at[i];
      open.delete(key);
    }
  }
  return cuts.filter((cut, index) => {
    const twin = cuts.slice(0, index).find(other => other.from === cut.to && other.to === cut.from
      && Math.abs(other.since - cut.since) < 1 && Math.abs(other.until - cut.until) < 1);
    if (twin) twin.both = true;
    return !twin;
  });
}

// The last of `list` (in the order of `at`) that is not after `time`.
function lastBefore(list, time) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].at <= time) low = middle + 1; else high = middle;
  }
  return low - 1;
}

function seconds(micros, digits = 6) {
  return (micros / 1e6).toFixed(digits) + " s";
}

function duration(micros) {
  if (micros >= 1e6) return (micros / 1e6).toFixed(3) + " s";
  return micros >= 1000 ? (micros / 1000).toFixed(3) + " ms" : Math.round(micros) + " µs";
}
