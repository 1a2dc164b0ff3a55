"use strict";
// Chooses the classes whose images are shown. The page's address keeps them: #class=3,7
{
  const section = document.getElementById("images");
  const gallery = section.querySelector(".gallery");
  const classes = [...gallery.children];
  const filter = section.querySelector(".filter");
  const [find, order, all, output, choices] = ["input", "select", "button", "output", ".choices"].map(
    (what) => filter.querySelector(what),
  );
  const names = classes.map((one) => one.querySelector(".name").textContent);

  const boxes = names.map((name, index) => {
    const label = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", value: index, autocomplete: "off" });
    const text = Object.assign(document.createElement("span"), { textContent: name });
    label.append(box, text);
    choices.append(label);
    return box;
  });

  function show() {
    const words = find.value.toLowerCase().split(",").map((word) => word.trim()).filter(Boolean);
    const isFound = names.map(
      (name, index) => !words.length || words.some((word) => name.toLowerCase().includes(word) || word === `${index}`),
    );
    const isChosen = boxes.some((box) => box.checked);
    let shown = 0;
    classes.forEach((one, index) => {
      const isShown = isFound[index] && (!isChosen || boxes[index].checked);
      one.hidden = !isShown;
      boxes[index].parentElement.hidden = !isFound[index] && !boxes[index].checked;
      shown += isShown;
    });
    all.hidden = !isChosen && !words.length;
    output.textContent = all.hidden ? "" : `${shown} of ${classes.length} classes`;
  }

  function choose() {
    const address = new URLSearchParams(location.hash.slice(1)).get("class");
    const asked = new Set((address ?? "").split(","));
    boxes.forEach((box) => (box.checked = asked.has(box.value)));
    show();
  }

  function keep() {
    const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
    history.replaceState(null, "", chosen.length ? `#class=${chosen}` : location.pathname + location.search);
    show();
  }

  find.addEventListener("input", show);
  choices.addEventListener("change", keep);
  all.addEventListener("click", () => {
    find.value = "";
    boxes.forEach((box) => (box.checked = false));
    keep();
    find.focus();
  });
  order?.addEventListener("change", () => {
    const score = (one) => (order.value === "score" ? Number(one.dataset.score ?? 2) : 0);
    const sorted = [...classes].sort((a, b) => score(a) - score(b) || a.dataset.class - b.dataset.class);
    gallery.append(...sorted);
  });
  addEventListener("hashchange", choose);
  filter.hidden = classes.length < 2;
  choose();
}
