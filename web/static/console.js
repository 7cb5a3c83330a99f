// Everything here is comfort: without scripts every page can be read and every form be sent.
(function () {
  "use strict";
  // htmx writes HTML that our own server drew; the policy names that one source.
  if (window.trustedTypes) {
    window.trustedTypes.createPolicy("default", { createHTML: function (html) { return html; } });
  }
  var root = document.documentElement;
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  function apply() {
    var chosen = root.dataset.theme;
    var name = chosen === "auto" ? (dark.matches ? "dark" : "light") : chosen;
    root.setAttribute("data-bs-theme", name);
  }
  apply();
  dark.addEventListener("change", apply);
  document.addEventListener("click", function (event) {
    var button = event.target.closest("[data-switch-theme]");
    if (!button) return;
    root.dataset.theme = root.getAttribute("data-bs-theme") === "dark" ? "light" : "dark";
    document.cookie = "fs_theme=" + root.dataset.theme + ";path=/;max-age=31536000;samesite=lax";
    apply();
  });
  document.addEventListener("change", function (event) {
    var choice = event.target.closest("select[data-go]");
    if (choice) choice.form.requestSubmit();
  });
  // One open form at a time keeps the page quiet; Escape closes it.
  document.addEventListener("toggle", function (event) {
    var opened = event.target;
    if (!opened.matches || !opened.matches("details[data-form]") || !opened.open) return;
    document.querySelectorAll("details[data-form][open]").forEach(function (other) {
      if (other !== opened && !other.contains(opened)) other.open = false;
    });
    // A form that came back is open already; what the service said about it is read first.
    if (opened.hasAttribute("data-reopened")) { opened.removeAttribute("data-reopened"); return; }
    var field = opened.querySelector("input:not([type=hidden]), select, textarea");
    if (field) field.focus();
  }, true);
  // A menu closes when somebody goes elsewhere, with the pointer or with the keyboard.
  ["click", "focusin"].forEach(function (kind) {
    document.addEventListener(kind, function (event) {
      document.querySelectorAll("details[data-menu][open]").forEach(function (menu) {
        if (!menu.contains(event.target)) menu.open = false;
      });
    });
  });
  document.addEventListener("keydown", function (event) {
    if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey) {
      var search = document.querySelector("form[role=search] input");
      if (!search || event.target.closest("input, select, textarea, [contenteditable]")) return;
      event.preventDefault();
      search.focus();
      return;
    }
    if (event.key !== "Escape") return;
    document.querySelectorAll("details[data-form][open], details[data-menu][open]").forEach(function (form) {
      form.open = false;
      form.querySelector("summary").focus();
    });
  });
  // Nobody sends a form twice by a double click.
  document.addEventListener("submit", function (event) {
    if (event.target.dataset.sent) { event.preventDefault(); return; }
    event.target.dataset.sent = "yes";
    window.setTimeout(function () { delete event.target.dataset.sent; }, 4000);
  });
  document.addEventListener("click", function (event) {
    var button = event.target.closest("[data-copy]");
    if (!button || !navigator.clipboard) return;
    navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent)
      .then(function () { button.textContent = "Copied"; });
  });
  window.addEventListener("pageshow", function () {
    document.querySelectorAll("form[data-sent]").forEach(function (form) { delete form.dataset.sent; });
  });
  // A fragment that refreshes itself must not take away what somebody opened, writes or stands on.
  var CONTROLS = "a, button, summary, input, select, textarea";
  var opened = [];
  var stood = -1;
  document.addEventListener("htmx:beforeRequest", function (event) {
    var part = event.target;
    if (!part.matches || !part.matches("[hx-trigger^=every]")) return;
    if (document.hidden || part.querySelector("details[data-form][open]")) event.preventDefault();
  });
  document.addEventListener("htmx:beforeSwap", function (event) {
    var part = event.target;
    opened = Array.prototype.map.call(part.querySelectorAll("details[id]"), function (each) {
      return [each.id, each.open];
    });
    stood = Array.prototype.indexOf.call(part.querySelectorAll(CONTROLS), document.activeElement);
  });
  document.addEventListener("htmx:afterSwap", function (event) {
    opened.forEach(function (pair) {
      var each = document.getElementById(pair[0]);
      if (each) each.open = pair[1];
    });
    var part = document.getElementById(event.detail.elt.id);
    if (stood >= 0 && part && document.activeElement === document.body) {
      var control = part.querySelectorAll(CONTROLS)[stood];
      if (control) control.focus({ preventScroll: true });
    }
    opened = [];
    stood = -1;
    say();
  });
  // Readers of the screen hear what changed, and nothing while it stays the same.
  var heard = null;
  function say() {
    var part = document.querySelector("[data-say]");
    var words = part ? part.dataset.say : "";
    if (heard !== null && words !== heard) document.getElementById("said").textContent = words;
    heard = words;
  }
  document.addEventListener("DOMContentLoaded", say);
  // What somebody asked for says that it is on its way; what only refreshes itself does not.
  var waiting = 0;
  function polls(event) { return event.target.matches && event.target.matches("[hx-trigger^=every]"); }
  document.addEventListener("htmx:beforeSend", function (event) {
    if (polls(event)) return;
    waiting += 1;
    root.classList.add("fs-busy");
    event.detail.target.setAttribute("aria-busy", "true");
  });
  // A fragment that could not be fetched says so, for as long as that lasts.
  function lost(words) {
    var box = document.getElementById("lost");
    if (box && box.textContent !== words) box.textContent = words;
  }
  document.addEventListener("htmx:afterRequest", function (event) {
    if (!polls(event)) {
      waiting = Math.max(0, waiting - 1);
      if (!waiting) root.classList.remove("fs-busy");
      event.detail.target.removeAttribute("aria-busy");
    }
    var status = event.detail.xhr ? event.detail.xhr.status : 0;
    if (event.detail.successful) lost("");
    else if (status === 0) lost("The service does not answer. What you see may be old; nothing you typed is lost.");
    else lost("The service answered with an error (" + status + "). What you see may be old: load the page again.");
  });
}());
