// theme.js: sets the theme before anything is painted. A classic script in the head, because modules run later.
(() => {
    const root = document.documentElement;
    let chosen = 'system';
    try {
        chosen = localStorage.getItem('as-studio-theme') || 'system';
    } catch { /* storage is switched off: the system's theme */ }
    root.dataset.theme = chosen;
})();
