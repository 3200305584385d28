// Draws what of the view is on the screen. Time runs downward; where marks stand too close, rows of them become one.

const HEAD = 44, GUTTER = 92, ROW = 18, ARROWS_MAX = 240, CHART = 46, LANE = 11;

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const of = name => style.getPropertyValue("--" + name).trim();
  const names = ["paper", "panel", "edge", "ink", "soft", "faint", "request", "response", "bytes", "connection", "packet",
    "lost", "disk", "damage", "replica", "machine", "link", "note", "violation", "select", "end", "high"];
  const colours = Object.fromEntries(names.map(name => [name, of(name)]));
  // Epochs that follow each other stand far apart on the wheel of colours.
  colours.epoch = epoch => `hsl(${(205 + epoch * 137.5) % 360} ${of("vivid")} ${of("light")})`;
  return colours;
}

function colourOf(colours, story, i) {
  if (story.isArrow(story.kind[i]) && !story.arrived[i]) return colours.lost;
  return colours[story.kinds[story.kind[i]].toLowerCase()];
}

// Where everything is: `y` of a time, `x` of a lane.
function makeLayout(view, width, height) {
  const { story } = view;
  const weights = story.lanes.map(lane => lane.isNode ? 1.6 : 1);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const unit = Math.min(240, (width - GUTTER - 24) / Math.max(1, total));
  const xs = [];
  let edge = GUTTER;
  for (const [index, lane] of story.lanes.entries()) {
    // A broker has its chart on the left.
    xs.push(edge + unit * weights[index] * (lane.isNode ? 0.62 : 0.5));
    edge += unit * weights[index];
  }
  const scale = (height - HEAD) / (view.bottom - view.top);
  const yOfPlace = place => HEAD + (place - view.top) * scale;
  return { width, height, xs, unit, yOfPlace, y: time => yOfPlace(toAxis(view, time)),
    placeOf: y => view.top + (y - HEAD) / scale };
}

function draw(canvas, view, colours) {
  const { pen, width, height } = penOf(canvas);
  const layout = makeLayout(view, width, height);
  const scene = { pen, view, story: view.story, colours, layout, labels: [], epochs: [] };
  pen.save();
  pen.beginPath();
  pen.rect(0, HEAD, width, height - HEAD);
  pen.clip();
  drawTicks(scene);
  drawCuts(scene);
  drawLanes(scene);
  const seen = visibleMarks(view);
  const arrows = seen.filter(i => view.story.isArrow(view.story.kind[i]));
  const points = seen.filter(i => !view.story.isArrow(view.story.kind[i]));
  scene.isDense = arrows.length > ARROWS_MAX;
  if (scene.isDense) drawRows(scene, arrows); else arrows.forEach(i => drawArrow(scene, i));
  drawPoints(scene, points);
  if (scene.isDense) drawCounts(scene);
  for (const [x, y, word, colour] of scene.epochs) label(scene, x, y, word, colour, "left");
  if (view.chosen >= 0) drawChosen(scene);
  pen.restore();
  drawHead(scene);
  return { layout, arrows, points, isDense: scene.isDense, seen };
}

function penOf(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = "11px system-ui, 'DejaVu Sans', sans-serif";
  pen.textBaseline = "middle";
  return { pen, width, height };
}

function drawTicks({ pen, view, layout, colours }) {
  const { width, height } = layout;
  const span = fromAxis(view, view.bottom) - fromAxis(view, view.top);
  const digits = span > 50e6 ? 1 : span > 2e6 ? 2 : span > 20e3 ? 4 : 6;
  const places = [];
  if (view.isEven) {
    const by = Math.max(1, Math.ceil((view.bottom - view.top) / ((height - HEAD) / 46)));
    for (let place = Math.ceil(Math.max(0, view.top) / by) * by; place <= Math.min(view.bottom, axisEnd(view)); place += by) {
      places.push(place);
    }
  } else {
    const rough = (view.bottom - view.top) / ((height - HEAD) / 64);
    const power = 10 ** Math.floor(Math.log10(rough));
    const by = Math.max(1, power * [1, 2, 5, 10].find(factor => factor * power >= rough));
    for (let time = Math.ceil(Math.max(0, view.top) / by) * by; time <= Math.min(view.bottom, view.story.endedAt); time += by) {
      places.push(time);
    }
  }
  pen.textAlign = "right";
  for (const place of places) {
    const y = layout.yOfPlace(place);
    pen.strokeStyle = colours.edge;
    pen.globalAlpha = 0.5;
    line(pen, GUTTER - 8, y, width, y);
    pen.globalAlpha = 1;
    pen.fillStyle = colours.soft;
    if (y > HEAD + 7) pen.fillText(seconds(fromAxis(view, place), digits), GUTTER - 14, y);
  }
}

function drawCuts({ pen, story, colours, layout }) {
  for (const cut of story.cuts) {
    const top = layout.y(cut.since), bottom = layout.y(cut.until);
    if (bottom < HEAD || top > layout.height) continue;
    const left = Math.min(layout.xs[cut.from], layout.xs[cut.to]), right = Math.max(layout.xs[cut.from], layout.xs[cut.to]);
    const high = Math.max(2, bottom - top);
    pen.fillStyle = colours.link;
    pen.globalAlpha = 0.09;
    pen.fillRect(left, top, right - left, high);
    pen.globalAlpha = 1;
    // At the end that cannot be reached (or both), a hatched edge.
    for (const lane of cut.both ? [cut.from, cut.to] : [cut.to]) {
      const x = layout.xs[lane];
      hatch(pen, x + (x === left ? LANE / 2 : -LANE / 2 - 7), top, 7, high, colours.link);
    }
  }
}

function drawLanes(scene) {
  const { pen, story, colours, layout } = scene;
  story.lanes.forEach((lane, index) => {
    const x = layout.xs[index];
    if (lane.isNode && story.replicas[index]) drawChart(scene, index);
    for (const piece of story.lives[index]) {
      const top = Math.max(HEAD, layout.y(piece.from)), bottom = Math.min(layout.height, layout.y(piece.until));
      if (bottom < HEAD || top > layout.height) continue;
      const high = Math.max(1, bottom - top), wide = lane.isNode ? LANE : 3;
      if (piece.state === "down") {
        pen.strokeStyle = colours.faint;
        pen.setLineDash([1, 5]);
        line(pen, x, top, x, bottom);
        pen.setLineDash([]);
      } else if (lane.isNode) {
        drawEpochs(scene, index, piece, top, bottom);
        if (piece.state === "paused") pauseOver(pen, x, top, high, wide, colours);
      } else {
        pen.fillStyle = piece.state === "paused" ? colours.faint : colours.soft;
        pen.fillRect(x - wide / 2, top, wide, high);
        if (piece.state === "paused") pauseOver(pen, x, top, high, wide + 4, colours);
      }
    }
  });
}

function pauseOver(pen, x, top, high, wide, colours) {
  pen.fillStyle = colours.paper;
  pen.globalAlpha = 0.55;
  pen.fillRect(x - wide / 2, top, wide, high);
  pen.globalAlpha = 1;
  hatch(pen, x - wide / 2, top, wide, high, colours.ink);
}

function statusesOf(scene, lane) {
  const own = scene.story.replicas[lane];
  if (!own) return [];
  return scene.view.partition < 0 ? own.sum : own.of.get(scene.view.partition) ?? [];
}

// The lane of a broker has the colour of its leader epoch; without one, or when it follows, it is grey.
function drawEpochs(scene, lane, piece, top, bottom) {
  const { pen, colours, layout } = scene;
  const x = layout.xs[lane], statuses = statusesOf(scene, lane);
  pen.fillStyle = colours.faint;
  pen.fillRect(x - LANE / 2, top, LANE, Math.max(1, bottom - top));
  let index = Math.max(0, lastBefore(statuses, piece.from) + 1);
  const early = lastBefore(statuses, fromAxis(scene.view, scene.view.top));
  index = Math.max(index, Math.min(early, statuses.length - 1));
  while (index < statuses.length && statuses[index].at <= piece.until) {
    const { at, epoch, leads } = statuses[index];
    let next = index + 1;
    while (next < statuses.length && statuses[next].epoch === epoch && statuses[next].leads === leads) next++;
    const until = Math.min(piece.until, statuses[next]?.at ?? piece.until);
    const from = Math.max(HEAD, layout.y(Math.max(at, piece.from)));
    const to = Math.min(layout.height, layout.y(until));
    if (from > layout.height) break;
    if (to >= from && leads) {
      pen.fillStyle = colours.epoch(epoch);
      pen.fillRect(x - LANE / 2, from, LANE, Math.max(1, to - from));
      if (to - from > 20) scene.epochs.push([x + LANE / 2 + 5, from + 11, "epoch " + epoch, colours.epoch(epoch)]);
    }
    index = next;
  }
}

// Log end (a line) and high watermark (an area), growing away from the lane; nothing where there is no process.
function drawChart(scene, lane) {
  const { pen, story, colours, layout } = scene;
  const statuses = statusesOf(scene, lane);
  const most = statuses.reduce((most, status) => Math.max(most, status.end), 1);
  const base = layout.xs[lane] - LANE / 2 - 3, x = value => base - value / most * CHART;
  pen.lineWidth = 1;
  for (const [from, until] of lifetimes(story.lives[lane])) {
    const bottom = Math.min(layout.height, layout.y(until));
    if (bottom < HEAD || layout.y(from) > layout.height) continue;
    const first = lastBefore(statuses, from - 1) + 1;
    let index = Math.max(first, lastBefore(statuses, fromAxis(scene.view, scene.view.top)));
    if (index >= statuses.length || statuses[index].at > until) continue;
    const line = new Path2D(), area = new Path2D();
    let y = Math.max(HEAD, layout.y(statuses[index].at)), last = statuses[index];
    line.moveTo(x(last.end), y);
    area.moveTo(base, y);
    area.lineTo(x(last.high), y);
    for (index++; index < statuses.length && statuses[index].at <= until && y < layout.height; index++) {
      const next = Math.max(HEAD, layout.y(statuses[index].at));
      // Several in one row of the screen count as the last of them.
      if (next - y >= 0.5) {
        y = next;
        line.lineTo(x(last.end), y);
        area.lineTo(x(last.high), y);
      }
      last = statuses[index];
      line.lineTo(x(last.end), y);
      area.lineTo(x(last.high), y);
    }
    line.lineTo(x(last.end), Math.max(y, bottom));
    area.lineTo(x(last.high), Math.max(y, bottom));
    area.lineTo(base, Math.max(y, bottom));
    pen.fillStyle = colours.high;
    pen.fill(area);
    pen.strokeStyle = colours.end;
    pen.stroke(line);
  }
}

function drawArrow(scene, i, isChosen = false) {
  const { pen, story, colours, layout, view } = scene;
  const from = layout.xs[story.lane[i]], to = layout.xs[story.to[i]];
  if (from === undefined || to === undefined) return;
  const colour = colourOf(colours, story, i);
  const isWhole = story.arrived[i] === 1, isPacket = story.kind[i] >= story.code.Connection;
  let y1 = layout.y(story.at[i]), y2 = layout.y(story.until[i]);
  const side = Math.sign(to - from) || 1;
  const start = from + side * (story.lanes[story.lane[i]].isNode ? LANE / 2 : 2);
  const goal = to - side * (story.lanes[story.to[i]].isNode ? LANE / 2 : 2);
  pen.strokeStyle = pen.fillStyle = colour;
  pen.lineWidth = isChosen ? 2.6 : isPacket ? 0.8 : 1.3;
  pen.globalAlpha = isPacket && isWhole && !isChosen ? 0.75 : 1;
  if (from === to) {
    ring(pen, start + 7, y1, 4);
    label(scene, start + 15, y1, story.label(i), colour, "left");
  } else if (isWhole) {
    line(pen, start, y1, goal, y2);
    arrowHead(pen, start, y1, goal, y2, isPacket ? 5 : 7);
  } else {
    const broken = start + (goal - start) * 0.45;
    y2 = y1 + Math.min(7, (layout.height - HEAD) / 60);
    pen.setLineDash([5, 3]);
    line(pen, start, y1, broken, y2);
    pen.setLineDash([]);
    cross(pen, broken, y2, 4);
  }
  pen.globalAlpha = 1;
  if (from === to || (story.kind[i] === story.code.Packet && !isChosen)) return;
  const text = story.label(i) + (story.kind[i] === story.code.Response ? " ↩" : "");
  const room = Math.abs(goal - start) - 24;
  const slope = (y2 - y1) / Math.max(1, Math.abs(goal - start));
  const share = Math.min(room, 24 + pen.measureText(text).width / 2);
  if (view && room > 30) label(scene, start + side * share, y1 + slope * share - 6.5, text, colour, "center", room);
}

// Rows of arrows: one bar for each pair of lanes and row, the stronger the more there are, with their number at the client.
function drawRows(scene, arrows) {
  const { pen, story, colours, layout } = scene;
  const rows = new Map();
  for (const i of arrows) {
    const low = Math.min(story.lane[i], story.to[i]), high = Math.max(story.lane[i], story.to[i]);
    if (low < 0) continue;
    const row = Math.floor((Math.max(HEAD, layout.y(story.at[i])) - HEAD) / ROW);
    const key = (row * 1000 + low) * 1000 + high;
    let cell = rows.get(key);
    if (!cell) rows.set(key, cell = { row, low, high, there: 0, back: 0, lost: 0, names: new Map() });
    if (!story.arrived[i]) cell.lost++;
    else if (story.lane[i] === low) cell.there++; else cell.back++;
  }
  scene.rows = rows;
  pen.textAlign = "center";
  for (const cell of rows.values()) {
    const y = HEAD + (cell.row + 0.5) * ROW, left = layout.xs[cell.low], right = layout.xs[cell.high];
    const bar = (count, dy, colour, from, to) => {
      if (count === 0) return;
      pen.strokeStyle = pen.fillStyle = colour;
      pen.globalAlpha = Math.min(0.75, 0.16 + 0.13 * Math.log2(1 + count));
      pen.lineWidth = Math.min(3, 0.8 + Math.log2(1 + count) * 0.35);
      line(pen, from, y + dy, to, y + dy);
      arrowHead(pen, from, y + dy, to, y + dy, 5);
      pen.globalAlpha = 1;
    };
    bar(cell.there, -2, colours.response, left + LANE / 2, right - 13);
    bar(cell.back, 2, colours.request, right - 13, left + LANE / 2);
  }
}

// The numbers of those rows, over everything else.
function drawCounts(scene) {
  const { pen, colours, layout } = scene;
  for (const { row, high, there, back, lost } of scene.rows.values()) {
    const x = layout.xs[high], y = HEAD + (row + 0.5) * ROW;
    if (there + back > 0) pill(scene, x, y, String(there + back), lost > 0 ? colours.lost : colours.soft);
    if (lost > 0) {
      pen.strokeStyle = colours.lost;
      pen.lineWidth = 1.5;
      cross(pen, x - 22, y, 3.5);
    }
  }
}

function drawPoints(scene, points) {
  const { pen, story, colours, layout } = scene;
  const { Machine, Violation, Replica, Note, Disk, Damage, Link } = story.code;
  const order = [Disk, Note, Replica, Link, Damage, Machine, Violation];
  const isCrowded = points.length > 900;
  // Words are given out to those that matter most first.
  for (const kind of [...order].reverse()) {
    let last = -99;
    for (const i of points) {
      if (story.kind[i] !== kind) continue;
      const y = layout.y(story.at[i]), lane = story.lane[i];
      const colour = colourOf(colours, story, i), x = layout.xs[lane];
      if (kind === Violation) drawViolation(scene, i, y);
      else if (kind === Damage) drawDamage(scene, i, x, y);
      else if (x === undefined) {
        if (kind === Note) {
          pen.fillStyle = colour;
          pen.fillRect(GUTTER - 8, y - 0.5, 8, 1);
          label(scene, GUTTER + 4, y, story.label(i), colour, "left", layout.width - GUTTER - 20);
        }
      } else if (kind === Machine) drawChange(scene, i, x, y);
      else if (kind === Disk) {
        pen.fillStyle = story.label(i).includes("failed") ? colours.lost : colour;
        pen.fillRect(x + LANE / 2 + 1, y - 0.75, 6, 1.5);
        label(scene, x + LANE / 2 + 10, y, story.label(i), colour, "left", layout.unit * 0.5);
      } else if (kind === Replica) {
        if (!scene.isDense) drawEnd(scene, i, x, y);
      } else if (kind === Note && scene.isDense) {
        continue;
      } else if (!isCrowded || y - last > 3) {
        last = y;
        pen.fillStyle = colour;
        disc(pen, x, y, kind === Note ? 2.6 : 3);
        const text = kind === Link ? `${story.label(i)} → ${story.lanes[story.to[i]]?.name}` : story.label(i);
        if (!scene.isDense) label(scene, x + LANE / 2 + 12, y, text, colour, "left", layout.unit * 0.9);
      }
    }
  }
}

// What a power loss did, all of it in one word.
function drawDamage(scene, i, x, y) {
  const { pen, story, colours } = scene;
  const isSame = j => story.kind[j] === story.code.Damage && story.at[j] === story.at[i] && story.lane[j] === story.lane[i];
  pen.fillStyle = colours.damage;
  diamond(pen, x + LANE / 2 + 6, y, 3.5);
  if (isSame(i - 1)) return;
  const counts = new Map();
  for (let j = i; isSame(j); j++) counts.set(story.label(j), (counts.get(story.label(j)) ?? 0) + story.number(j, 1));
  const words = [...counts].map(([what, count]) => `${count.toLocaleString("en")} ${what}`);
  if (!scene.isDense) label(scene, x + 18, y + 14, words.join(", "), colours.damage, "left", 600);
}

// Log end and high watermark beside the lane, as numbers.
function drawEnd(scene, i, x, y) {
  const { pen, story, colours } = scene;
  const end = story.number(i, 0), high = story.number(i, 1), partition = story.about(i)[0];
  pen.fillStyle = colours.replica;
  diamond(pen, x, y, 3.2);
  const numbers = `${high}/${end}`, room = x - LANE / 2 - 6 - GUTTER;
  let name = scene.view.partition < 0 ? story.partitions[partition] ?? "" : "";
  // Of a long name the end tells most.
  while (name.length > 2 && pen.measureText(`${name} ${numbers}`).width > room) name = "…" + name.slice(2);
  label(scene, x - LANE / 2 - 6, y, `${name} ${numbers}`.trim(), colours.replica, "right");
}

function drawChange(scene, i, x, y) {
  const { pen, story, colours } = scene;
  const change = story.number(i, 0);
  if (change === 0) return;
  const isBad = change === 3 || change === 4 || change === PAUSED || (change === 2 && story.lanes[story.lane[i]].isNode);
  const colour = isBad ? colours.lost : colours.machine;
  pen.strokeStyle = pen.fillStyle = colour;
  pen.lineWidth = 2;
  if (isBad) cross(pen, x, y, 5); else disc(pen, x, y, 4);
  let word = CHANGES[change];
  if (change === WALL_CLOCK) word += ` by ${(story.number(i, 1) / 1000).toFixed(1)} s`;
  if (change === DRIFT) word += ` to ${story.number(i, 1)} ppm`;
  label(scene, x + 18, y, word, colour, "left", 400, true);
}

function drawViolation(scene, i, y) {
  const { pen, story, colours, layout } = scene;
  const isMention = story.number(i, 0) === 2, lane = story.lane[i];
  pen.strokeStyle = pen.fillStyle = colours.violation;
  pen.lineWidth = isMention ? 1 : 2.5;
  if (isMention) pen.setLineDash([6, 4]);
  line(pen, GUTTER - 8, y, layout.width, y);
  pen.setLineDash([]);
  if (lane >= 0) disc(pen, layout.xs[lane], y, 5);
  label(scene, GUTTER + 6, y - 9, (isMention ? "" : "⚑ ") + story.label(i), colours.violation, "left", layout.width - GUTTER - 30, true);
}

function drawChosen(scene) {
  const { pen, story, view, colours, layout } = scene;
  const i = view.chosen, y = layout.y(story.at[i]);
  pen.fillStyle = colours.select;
  pen.globalAlpha = 0.25;
  pen.fillRect(0, y - 7, layout.width, 14);
  pen.globalAlpha = 1;
  const other = partner(view, i);
  for (const each of [other, i]) {
    if (each >= 0 && story.isArrow(story.kind[each])) drawArrow({ ...scene, labels: [] }, each, true);
  }
  pen.strokeStyle = colours.select;
  pen.lineWidth = 2.5;
  if (story.lane[i] >= 0) ring(pen, layout.xs[story.lane[i]], y, 9);
}

function drawHead({ pen, view, story, colours, layout }) {
  pen.fillStyle = colours.paper;
  pen.fillRect(0, 0, layout.width, HEAD);
  pen.strokeStyle = colours.edge;
  pen.lineWidth = 1;
  line(pen, 0, HEAD - 0.5, layout.width, HEAD - 0.5);
  const time = view.chosen >= 0 ? story.at[view.chosen] : fromAxis(view, view.bottom);
  pen.textAlign = "center";
  story.lanes.forEach((lane, index) => {
    const x = layout.xs[index];
    pen.fillStyle = colours.ink;
    pen.font = "600 12px system-ui, 'DejaVu Sans', sans-serif";
    const room = layout.unit - 4, cut = lane.name.indexOf("-") + 1;
    if (lane.isNode || !cut || pen.measureText(lane.name).width <= room) {
      pen.fillText(lane.name, x, 15, lane.isNode ? layout.unit * 1.5 - 6 : room);
    } else {
      // Beside other lanes a long name takes two lines.
      pen.fillText(lane.name.slice(0, cut), x, 8, room);
      pen.fillText(lane.name.slice(cut), x, 20, room);
    }
    pen.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    pen.fillStyle = colours.soft;
    pen.fillText(stateAt(view, index, time), x, 31, layout.unit * (lane.isNode ? 1.55 : 1) - 4);
  });
  pen.textAlign = "right";
  pen.fillText(view.chosen >= 0 ? "at the event" : "at the end", GUTTER - 14, 31);
}

function stateAt(view, lane, time) {
  const { story } = view;
  const life = story.lives[lane].findLast(piece => piece.from <= time);
  if (!life || life.state !== "up") return life ? life.word : "not yet";
  const own = story.replicas[lane];
  const statuses = own ? (view.partition < 0 ? own.sum : own.of.get(view.partition) ?? []) : [];
  const place = lastBefore(statuses, time);
  if (place < 0 || statuses[place].at < life.from) return story.lanes[lane].isNode ? "starting" : "";
  const { end, high, epoch, leads } = statuses[place];
  const sum = view.partition < 0 ? "Σ " : "";
  return `${leads ? "epoch " + epoch : "follows"} · hw ${sum}${high} · end ${sum}${end}`;
}
