// Sorts, filters and opens rows as a hand or a keyboard would, and tells what is shown.
addEventListener("load", async () => {
  const wait = () => new Promise(done => setTimeout(done, 100));
  const at = id => document.getElementById(id), told = {};
  const names = () => [...document.querySelectorAll("tbody tr:not([hidden])")].map(line =>
    line.cells[0].textContent.trim());
  const head = word => [...document.querySelectorAll("thead button")].find(one => one.textContent.startsWith(word));
  const press = key => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
  told.first = names();
  head("S/N").click(); told.brightest = names();
  head("S/N").click(); told.faintest = names();
  told.sorted = head("S/N").parentNode.ariaSort;
  head("spectrum").click(); told.byName = names();
  const pick = at("verdict");
  told.kinds = [...pick.options].map(one => one.value);
  pick.value = "poor fit"; pick.dispatchEvent(new Event("change")); told.poor = names();
  told.count = at("told").textContent;
  pick.value = ""; pick.dispatchEvent(new Event("change"));
  at("find").value = "STAR-1"; at("find").dispatchEvent(new Event("input")); told.found = names();
  told.hash = location.hash;
  at("find").value = ""; at("find").dispatchEvent(new Event("input"));
  document.querySelector("tbody tr:not([hidden]) td:nth-child(3)").click();
  await wait();
  told.open = at("look").open; told.name = at("look-name").textContent;
  told.picture = [at("picture").naturalWidth, at("picture").hidden, at("picture").alt];
  told.values = [...at("values").children].map(pair => pair.textContent);
  press("ArrowRight"); await wait(); told.next = at("look-name").textContent;
  press("ArrowRight"); await wait(); told.last = [at("look-name").textContent, at("after").disabled];
  press("ArrowRight"); told.beyond = at("look-name").textContent;
  told.missing = [at("picture").hidden, at("no-picture").hidden];
  at("close").click(); await wait();
  told.closed = !at("look").open; told.focus = document.activeElement.textContent.trim();
  told.wide = document.scrollingElement.scrollWidth - innerWidth;
  told.dialog = (() => { document.querySelector("tbody tr").click();
    const box = at("look").getBoundingClientRect(); return [box.left, innerWidth - box.right]; })();
  told.unnamed = [...document.querySelectorAll("button, input, select, img")].filter(one =>
    !one.ariaLabel && !one.textContent.trim() && !one.labels?.length && !one.alt).map(one => one.id);
  told.back = getComputedStyle(document.body).backgroundColor;
  told.fetched = performance.getEntriesByType("resource").map(one => one.name.slice(0, 80))
    .filter(name => !name.startsWith("data:"));
  told.wrong = wrong;
  at("look").close();
  const node = document.createElement("pre");
  node.id = "answer";
  node.textContent = JSON.stringify(told);
  document.body.append(node);
});
