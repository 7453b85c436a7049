// Page-wide behaviour.

// Ctrl+Enter (Cmd+Enter) does what the open tab is for, from anywhere on the page.
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  [...document.querySelectorAll('.primary-action')].find((e) => e.offsetParent)?.click();
});

// A file dropped beside the cards must not replace the page.
for (const kind of ['dragover', 'drop']) {
  document.addEventListener(kind, (event) => event.preventDefault());
}
