// Parts that take long load by themselves; without this script each is a link.
"use strict";

const AT_ONCE = 2;
const AGAIN = 30;
const waiting = Array.from(document.querySelectorAll("[data-part]"));

function say(place, text) {
  const line = document.createElement("p");
  line.className = "pending";
  line.textContent = text;
  place.replaceChildren(line);
}

async function load(place) {
  const address = place.dataset.part;
  for (let round = 0; round < AGAIN; round++) {
    const answer = await fetch(address, { headers: { accept: "text/fragment" } });
    if (answer.status === 202) continue; // Still being computed: the answer came after a wait.
    if (!answer.ok) return say(place, `This part could not be loaded: ${answer.status}. Load the page again.`);
    place.innerHTML = await answer.text(); // Made by the same templates as the page, escaped.
    return;
  }
  say(place, "This takes longer than ten minutes. Ask for a shorter time.");
}

async function work() {
  for (let place = waiting.shift(); place; place = waiting.shift()) {
    try {
      await load(place);
    } catch (error) {
      say(place, "The collector could not be reached. Load the page again.");
    }
    place.removeAttribute("aria-busy");
  }
}

for (let i = 0; i < AT_ONCE; i++) work();
