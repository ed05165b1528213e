// Before the page is drawn, so that it does not flash: the theme that was chosen here.
(() => {
  const chosen = localStorage.getItem("cnstra-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
