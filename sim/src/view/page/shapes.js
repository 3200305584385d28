// Lines, heads of arrows, and words that do not cover each other.

function line(pen, x1, y1, x2, y2) {
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.lineTo(x2, y2);
  pen.stroke();
}

function arrowHead(pen, x1, y1, x2, y2, size) {
  const angle = Math.atan2(y2 - y1, x2 - x1);
  pen.beginPath();
  pen.moveTo(x2, y2);
  for (const turn of [-0.42, 0.42]) pen.lineTo(x2 - size * Math.cos(angle + turn), y2 - size * Math.sin(angle + turn));
  pen.fill();
}

function disc(pen, x, y, radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 7);
  pen.fill();
}

function ring(pen, x, y, radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 7);
  pen.stroke();
}

function diamond(pen, x, y, radius) {
  pen.beginPath();
  pen.moveTo(x, y - radius);
  pen.lineTo(x + radius, y);
  pen.lineTo(x, y + radius);
  pen.lineTo(x - radius, y);
  pen.fill();
}

function cross(pen, x, y, radius) {
  line(pen, x - radius, y - radius, x + radius, y + radius);
  line(pen, x - radius, y + radius, x + radius, y - radius);
}

function hatch(pen, x, y, width, height, colour) {
  pen.save();
  pen.beginPath();
  pen.rect(x, y, width, height);
  pen.clip();
  pen.strokeStyle = colour;
  pen.lineWidth = 1;
  pen.globalAlpha = 0.6;
  const bottom = Math.min(y + height, y + 4000);
  pen.beginPath();
  for (let at = Math.max(y, -20) - width; at < bottom; at += 5) {
    pen.moveTo(x, at + width);
    pen.lineTo(x + width, at);
  }
  pen.stroke();
  pen.restore();
}

// A number in a small round box, so that it can be read over lines.
function pill({ pen, colours, labels }, x, y, text, colour) {
  const width = Math.max(22, pen.measureText(text).width + 10);
  pen.fillStyle = colours.paper;
  pen.strokeStyle = colour;
  pen.lineWidth = 1;
  pen.beginPath();
  pen.roundRect(x - width / 2, y - 7, width, 14, 7);
  pen.fill();
  pen.stroke();
  pen.fillStyle = colours.ink;
  pen.textAlign = "center";
  pen.fillText(text, x, y + 0.5);
  labels.push([x - width / 2, y - 7, x + width / 2, y + 7]);
}

// Writes a word unless another one is there already; shortened to `room`.
function label({ pen, colours, labels }, x, y, text, colour, align, room = 1000, isStrong = false) {
  let words = text, width = pen.measureText(words).width;
  if (width > room) {
    words = words.slice(0, Math.max(3, Math.floor(words.length * room / width) - 1)) + "…";
    width = pen.measureText(words).width;
  }
  const left = align === "center" ? x - width / 2 : align === "right" ? x - width : x;
  const box = [left - 2, y - 6, left + width + 2, y + 6];
  if (labels.some(other => other[0] < box[2] && other[2] > box[0] && other[1] < box[3] && other[3] > box[1])) return;
  labels.push(box);
  pen.globalAlpha = isStrong ? 0.92 : 0.8;
  pen.fillStyle = colours.paper;
  pen.fillRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
  pen.globalAlpha = 1;
  pen.fillStyle = colour;
  pen.textAlign = "left";
  pen.fillText(words, left, y);
}
