"""The style sheet of ``report.html``: light and dark, and readable on a phone."""

STYLE = """
:root { color-scheme: light dark; --ink: #22252a; --soft: #555b63; --line: #dfe2e6; --page: #fff; --box: #f1f2f4;
        --accent: #c2410c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #a8aeb6; --line: #363b42; --page: #16181b;
        --box: #25292e; --accent: #fb8a52; } img { filter: invert(1) hue-rotate(180deg); mix-blend-mode: screen; } }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 54rem; margin: 0 auto; padding: 2rem 1.2rem 4rem; color: var(--ink);
       background: var(--page); overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .3rem; } h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; }
p { margin: .5rem 0 .8rem; max-width: 46rem; }
.verdict { font-size: 1.15rem; margin: .4rem 0 .8rem; } .lead { margin: 0 0 1.6rem; }
.lead, .note, th, dt, summary { color: var(--soft); } .note { font-size: .92rem; max-width: 46rem; }
.note p { margin-top: 0; }
.wide { overflow-x: auto; margin: .6rem 0 .8rem; }
.scores { margin: .6rem 0 1rem; } .scores, .figures { display: flex; gap: 1rem; flex-wrap: wrap; }
.figures > div { flex: 1 1 16rem; max-width: 25rem; }
.score { border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1.1rem; min-width: 11rem; }
.score b { display: block; font-size: 1.7rem; line-height: 1.4; }
.score.found { border-color: var(--accent); } .score.found b { color: var(--accent); }
table { border-collapse: collapse; font-size: .95rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
td, th { text-align: left; vertical-align: top; padding: .3rem 1.2rem .3rem 0; border-bottom: 1px solid var(--line);
         font-weight: normal; }
td:last-child, th:last-child { padding-right: 0; }
.numbers td + td, .numbers th + th { text-align: right; }
.numbers th { vertical-align: bottom; } .choices th { min-width: 10rem; } .choices .name { font-size: .85rem; }
.rules td { min-width: 7rem; overflow-wrap: anywhere; } .rules td:first-child { min-width: 11rem; }
.rules td + td + td { min-width: 16rem; }
img { max-width: 100%; height: auto; }
code, pre { background: var(--box); border-radius: .25rem; font-size: .9em; } code { padding: .1rem .3rem; }
pre { padding: .6rem .8rem; overflow-x: auto; overflow-wrap: normal; } summary { cursor: pointer; margin: .8rem 0 .4rem; }
@media (max-width: 30rem) { body { padding: 1.2rem 1rem 3rem; } td, th { padding-right: .6rem; } }
dt { font-weight: 600; } dd { margin: 0 0 .5rem; }
"""
"""The content of the ``<style>`` element."""
