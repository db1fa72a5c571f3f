// Sorts and filters the case list. Without it the list stands there whole, in its first order.
(function () {
  "use strict";
  var list = document.getElementById("case-list");
  var controls = document.getElementById("case-controls");
  if (!list || !controls) { return; }
  var items = Array.prototype.slice.call(list.children);
  var find = document.getElementById("case-find");
  var target = document.getElementById("case-target");
  var order = document.getElementById("case-order");
  var show = document.getElementById("case-show");
  var count = document.getElementById("case-count");

  function part(item) {
    return item.querySelector('.of[data-target="' + target.value + '"]');
  }

  function key(item) {
    var mine = part(item);
    if (order.value === "name") { return 0; }
    if (order.value === "tissue") { return item.dataset.tissue === "" ? 2 : Number(item.dataset.tissue); }
    if (!mine) { return Infinity; }
    if (order.value === "right") {
      return Number(mine.dataset.order) < 0 ? Infinity : Number(mine.dataset.order);
    }
    return -Number(order.value === "value" ? mine.dataset.value : mine.dataset.order);
  }

  function fits(item) {
    var text = find.value.trim().toLowerCase();
    if (text && item.dataset.find.toLowerCase().indexOf(text) < 0) { return false; }
    var mine = part(item), wanted = show.value;
    if (wanted === "all") { return true; }
    if (wanted === "explained") { return item.querySelector(".look") !== null; }
    if (!mine) { return false; }
    if (wanted.indexOf("truth:") === 0) { return mine.dataset.truth === wanted.slice(6); }
    return mine.dataset.verdict === wanted ||
      (wanted === "wrong" && mine.dataset.verdict === "far") ||
      (wanted === "right" && mine.dataset.verdict === "near");
  }

  function update() {
    Array.prototype.forEach.call(show.querySelectorAll("option[data-of]"), function (option) {
      option.hidden = option.disabled = option.dataset.of !== target.value;
      if (option.disabled && option.selected) { show.value = "all"; }
    });
    var sorted = items.map(function (item) { return { item: item, key: key(item) }; });
    sorted.sort(function (a, b) {
      return a.key - b.key || a.item.dataset.name.localeCompare(b.item.dataset.name, undefined, { numeric: true });
    });
    var shown = 0;
    sorted.forEach(function (each) {
      each.item.hidden = !fits(each.item);
      shown += each.item.hidden ? 0 : 1;
      list.appendChild(each.item);
    });
    items.forEach(function (item) {
      Array.prototype.forEach.call(item.querySelectorAll(".of"), function (mine) {
        mine.classList.toggle("quiet", mine.dataset.target !== target.value);
      });
    });
    count.textContent = shown + " of " + items.length + " patients shown";
  }

  function open(event) {
    var place = document.getElementById(decodeURIComponent((event.currentTarget || location).hash.slice(1)));
    for (var above = place; above; above = above.parentElement) {
      if (above.tagName === "DETAILS") { above.open = true; }
    }
  }

  controls.hidden = false;
  [target, order, show].forEach(function (each) { each.addEventListener("change", update); });
  find.addEventListener("input", update);
  Array.prototype.forEach.call(list.querySelectorAll('a[href^="#"]'), function (link) {
    link.addEventListener("click", open);
  });
  update();
}());
