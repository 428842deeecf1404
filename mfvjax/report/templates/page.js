"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const data = JSON.parse($("#data").textContent);
  const plane = $("#plane"), atlas = $(".atlas"), cursor = $(".cursor"), preview = $(".preview");
  const linked = $$("[data-facet]"), pictures = $$("[data-image]");
  let selected = null; // facet of the URL's hash
  let hovered = null; // facet under the pointer or the keyboard's focus
  let image = null; // image under the pointer or the map's keyboard cursor

  // Facets: whatever belongs to the active one is "on", here and in the cards and the table.
  function paint() {
    const active = hovered ?? selected;
    atlas.classList.toggle("focus", active !== null);
    for (const element of linked) {
      element.classList.toggle("on", active !== null && Number(element.dataset.facet) === active);
    }
    for (const picture of pictures) {
      picture.classList.toggle("on", Number(picture.dataset.image) === image);
    }
  }

  function readHash() {
    const match = /^#facet-(\d+)$/.exec(location.hash);
    if (match) selected = Number(match[1]) - 1;
    else if (location.hash === "") selected = null;
    for (const chip of $$(".chip")) {
      if (Number(chip.dataset.facet) === selected) chip.setAttribute("aria-current", "true");
      else chip.removeAttribute("aria-current");
    }
    paint();
  }

  function clear() {
    history.replaceState(null, "", location.pathname + location.search);
    hovered = null;
    point(null);
    readHash();
  }

  function go(facet) {
    const hash = `#facet-${facet + 1}`;
    if (location.hash === hash) $(hash).scrollIntoView();
    else location.hash = hash;
  }

  // Images: the cursor and the preview on the map.
  function point(index, withPreview = true) {
    image = index;
    hovered = index === null ? null : data.facets[index];
    cursor.hidden = index === null;
    preview.hidden = index === null || !withPreview;
    if (index !== null) {
      const [x, y] = data.points[index];
      cursor.style.left = `${100 * x}%`;
      cursor.style.top = `${100 * y}%`;
      if (withPreview) fillPreview(index, x, y);
    }
    paint();
  }

  function fillPreview(index, x, y) {
    const picture = $(".sprite", preview);
    const columns = Number(getComputedStyle(picture).getPropertyValue("--columns"));
    picture.style.setProperty("--u", index % columns);
    picture.style.setProperty("--v", Math.floor(index / columns));
    $(".name", preview).textContent = data.names[index];
    $(".fact", preview).textContent =
      `Facet ${data.facets[index] + 1} · activation ${data.activations[index]}`;
    const side = plane.clientWidth, gap = 16;
    const width = preview.offsetWidth, height = preview.offsetHeight;
    const left = x < 0.5 ? x * side + gap : x * side - gap - width;
    preview.style.left = `${Math.max(Math.min(left, side - width), 0)}px`;
    preview.style.top = `${Math.max(Math.min(y * side - height / 2, side - height), 0)}px`;
  }

  function nearest(event) {
    const box = plane.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
    const reach = Math.max(18 / box.width, 0.03);
    let best = null, least = reach * reach;
    data.points.forEach(([px, py], index) => {
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < least) [best, least] = [index, distance];
    });
    return best;
  }

  plane.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch" || event.target.closest(".badge")) return;
    const found = nearest(event);
    if (found !== image) point(found);
  });
  plane.addEventListener("pointerleave", (event) => {
    if (event.pointerType !== "touch") point(null);
  });
  // A first tap shows the image, a second one goes to its facet; a click goes there at once.
  plane.addEventListener("click", (event) => {
    if (event.target.closest(".badge")) return;
    const found = nearest(event);
    const again = found !== null && found === image;
    if (event.pointerType === "touch" && !again) point(found);
    else if (found !== null) go(data.facets[found]);
    else clear();
  });
  const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  plane.addEventListener("keydown", (event) => {
    if (event.target !== plane) return;
    if (event.key === "Enter" && image !== null) go(data.facets[image]);
    const direction = directions[event.key];
    if (!direction) return;
    event.preventDefault();
    point(image === null ? 0 : step(image, direction));
  });
  plane.addEventListener("blur", () => point(null));

  // The image that lies nearest in a direction, sideways counted double; itself at the edge.
  function step(from, [dx, dy]) {
    const [x, y] = data.points[from];
    let best = from, least = Infinity;
    data.points.forEach(([px, py], index) => {
      const ahead = (px - x) * dx + (py - y) * dy;
      const aside = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
      if (ahead > 1e-4 && aside <= 2 * ahead && ahead + 2 * aside < least) {
        [best, least] = [index, ahead + 2 * aside];
      }
    });
    return best;
  }

  // Everything else that belongs to a facet or an image.
  for (const element of linked) {
    if (plane.contains(element) && !element.matches(".badge")) continue;
    const enter = () => { hovered = Number(element.dataset.facet); paint(); };
    const leave = () => { hovered = null; paint(); };
    element.addEventListener("pointerenter", enter);
    element.addEventListener("pointerleave", leave);
    element.addEventListener("focusin", enter);
    element.addEventListener("focusout", leave);
  }
  for (const picture of pictures) {
    picture.addEventListener("pointerenter", () => point(Number(picture.dataset.image), false));
    picture.addEventListener("pointerleave", () => {
      point(null);
      hovered = Number(picture.closest("[data-facet]").dataset.facet);
      paint();
    });
  }
  addEventListener("hashchange", readHash);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !$("#viewer").open) clear();
  });

  // Images or points.
  for (const button of $$(".switch button")) {
    button.addEventListener("click", () => {
      plane.classList.toggle("as-points", button.dataset.show === "points");
      for (const other of $$(".switch button")) {
        other.setAttribute("aria-pressed", String(other === button));
      }
    });
  }

  // The table: sorted by a column, what is not defined last; the best value of each in bold.
  const body = $("#all tbody");
  const value = (row, column) => {
    const text = row.cells[column].dataset.value;
    return text === undefined ? NaN : Number(text);
  };
  $$("#all thead th").forEach((head, column) => {
    const rows = [...body.rows];
    const better = { higher: 1, lower: -1 }[head.dataset.better];
    const known = rows.map((row) => value(row, column)).filter((v) => !Number.isNaN(v));
    if (better && new Set(known).size > 1) {
      const best = Math.max(...known.map((v) => better * v));
      for (const row of rows) {
        row.cells[column].classList.toggle("best", better * value(row, column) === best);
      }
    }
    $("button", head).addEventListener("click", () => {
      const first = column === 0 || better === -1 ? "ascending" : "descending";
      const now = head.getAttribute("aria-sort");
      const order = now === null ? first : now === "ascending" ? "descending" : "ascending";
      for (const other of $$("#all thead th")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const sorted = [...body.rows].sort((a, b) => {
        const x = value(a, column), y = value(b, column);
        if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
        return sign * (x - y);
      });
      body.append(...sorted);
    });
  });

  // One image, large; the arrows go through the images of its facet.
  const viewer = $("#viewer");
  let shown = null;
  function show(button) {
    shown = button;
    const picture = $("img", button);
    const index = button.dataset.image;
    $("img", viewer).src = picture.src;
    $("img", viewer).alt = picture.alt;
    $(".name", viewer).textContent =
      index === undefined ? picture.alt : `${picture.alt} · activation ${data.activations[index]}`;
    $("[data-go=map]", viewer).hidden = index === undefined;
    if (!viewer.open) viewer.showModal();
  }
  function move(by) {
    const all = $$(".zoom", shown.closest(".facet"));
    show(all[(all.indexOf(shown) + by + all.length) % all.length]);
  }
  for (const button of $$(".zoom")) button.addEventListener("click", () => show(button));
  viewer.addEventListener("click", (event) => {
    const action = event.target.dataset.go;
    if (event.target === viewer || action === "close") viewer.close();
    else if (action === "map") {
      const index = Number(shown.dataset.image);
      viewer.close();
      plane.scrollIntoView({ block: "center" });
      plane.focus({ preventScroll: true });
      point(index);
    } else if (action) move(Number(action));
  });
  viewer.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") move(-1);
    if (event.key === "ArrowRight") move(1);
  });

  readHash();
})();
