// SPDX-License-Identifier: Apache-2.0
// theme.js - light or dark: as the system says, or as the reader chose. It runs before the page is painted.
"use strict";

(() => {
    const THEMES = ["auto", "light", "dark"];
    const KEY = "aether-theme";
    const system = matchMedia("(prefers-color-scheme: dark)");
    let theme = "auto";

    // Storage may be forbidden. Then the choice lasts as long as the page.
    try {
        theme = localStorage.getItem(KEY) || "auto";
    } catch { }
    if (!THEMES.includes(theme))
        theme = "auto";

    function apply() {
        document.documentElement.dataset.theme = theme !== "auto" ? theme : system.matches ? "dark" : "light";
        const button = document.getElementById("theme");
        if (button)
            button.textContent = `Theme: ${theme}`;
        window.dispatchEvent(new Event("aether-theme"));
    }

    function next() {
        theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
        try {
            localStorage.setItem(KEY, theme);
        } catch { }
        apply();
    }

    apply();
    system.addEventListener("change", apply);
    document.addEventListener("DOMContentLoaded", () => {
        apply();
        document.getElementById("theme").addEventListener("click", next);
    });
})();
