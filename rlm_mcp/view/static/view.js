// Follows what changes: the page is complete without this. Nothing is ever read as markup but
// pages of this server, in which all that is shown is escaped.
"use strict";

const EVERY = 2000;
let stamp = document.documentElement.dataset.stamp;

function say(text) {
  document.getElementById("live").textContent = text;
}

// Takes over what is new of a list, by the ids of its parts; what is as it was is not touched,
// so that places in texts, selections and what is open stay.
function follow(list, fresh) {
  const kept = new Set();
  for (const part of fresh.children) {
    const old = document.getElementById(part.id);
    for (const now of [part, ...part.querySelectorAll("details")]) {
      const before = document.getElementById(now.id);
      if (now.matches("details") && before) now.open = before.open;
    }
    if (old && old.parentElement === list && old.isEqualNode(part)) kept.add(old);
  }
  for (const old of [...list.children]) if (!kept.has(old)) old.remove();
  let at = list.firstElementChild;
  for (const part of [...fresh.children]) {
    if (at && at.id === part.id) at = at.nextElementSibling;
    else list.insertBefore(document.adoptNode(part), at);
  }
}

async function look() {
  if (document.hidden) return;
  const reply = await fetch(location.href, {
    headers: { "If-None-Match": stamp }, cache: "no-store", redirect: "error",
  });
  if (reply.status === 304) return say("following");
  if (!reply.ok) return say(`the store cannot be read now (${reply.status})`);
  const page = new DOMParser().parseFromString(await reply.text(), "text/html");
  const lists = [...document.querySelectorAll("[data-live]")];
  const fresh = lists.map((list) => page.getElementById(list.id));
  if (!lists.length || fresh.includes(null)) return location.reload();
  lists.forEach((list, number) => follow(list, fresh[number]));
  stamp = page.documentElement.dataset.stamp;
  say("following");
}

async function go() {
  try {
    await look();
  } catch {
    say("rlm-mcp view has ended, or cannot be reached");
  }
  setTimeout(go, EVERY);
}

setTimeout(go, EVERY);
