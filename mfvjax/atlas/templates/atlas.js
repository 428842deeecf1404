"use strict";
(() => {
  const $ = (selector) => document.querySelector(selector);
  const data = JSON.parse($("#data").textContent);
  const grid = $("#units"), find = $("#find"), sort = $("#sort"), turn = $("#turn"), count = $("#count");
  const units = [...grid.children].map((card, i) => ({ card, ...data.units[i], place: i }));
  const noun = (n) => `${n.toLocaleString("en")} unit${n === 1 ? "" : "s"}`;
  let ascending = true;

  // Every word must occur; "fc8:7" and "7" find the unit itself as a whole number.
  function matches(unit, words) {
    return words.every((word) =>
      /^\d+$/.test(word) ? unit.number === word || unit.words.includes(word) : unit.text.includes(word));
  }

  function search() {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const unit of units) {
      const here = matches(unit, words);
      unit.card.hidden = !here;
      shown += here;
    }
    count.textContent = words.length ? `${shown.toLocaleString("en")} of ${noun(units.length)}` : noun(units.length);
    $("#none").hidden = shown > 0;
  }

  function order() {
    const column = Number(sort.value);
    const sign = ascending ? 1 : -1;
    const sorted = [...units].sort((a, b) => {
      const x = a.values[column], y = b.values[column];
      if (x === null || y === null) return (x === null) - (y === null) || a.place - b.place;
      return sign * (typeof x === "string" ? x.localeCompare(y) : x - y) || a.place - b.place;
    });
    for (const unit of units) unit.card.querySelector(".score").textContent = unit.shown[column];
    grid.append(...sorted.map((unit) => unit.card));
    turn.textContent = ascending ? "↑" : "↓";
  }

  find.addEventListener("input", search);
  sort.addEventListener("change", () => {
    ascending = sort.selectedOptions[0].dataset.first === "ascending";
    order();
  });
  turn.addEventListener("click", () => { ascending = !ascending; order(); });
  $("#clear").addEventListener("click", () => { find.value = ""; search(); find.focus(); });
  addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== find) { event.preventDefault(); find.focus(); find.select(); }
    if (event.key === "Escape" && document.activeElement === find) { find.value = ""; search(); }
  });
  for (const button of document.querySelectorAll(".switch button")) {
    button.addEventListener("click", () => {
      const show = button.dataset.show;
      grid.className = show;
      for (const other of document.querySelectorAll(".switch button")) {
        other.setAttribute("aria-pressed", String(other === button));
      }
      for (const unit of units) {
        const picture = unit.card.querySelector("img");
        picture.src = picture.src.replace(/[^/]+$/, `${show}.jpg`);
        [picture.width, picture.height] = show === "cover" ? [192, 192] : unit.sheet;
      }
    });
  }
  order();
  search(); // a browser that comes back to the page keeps what was searched for
})();
