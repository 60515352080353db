"""The look of the page: one style sheet, for screens wide and narrow, light and dark, and paper."""

CSS = """
:root{color-scheme:light dark;--ink:#24292f;--soft:#57606a;--line:#d0d7de;--back:#fff;
--tint:#f6f8fa;--link:#0550ae;--warn:#fff4d6;--edge:#b98900}
@media (prefers-color-scheme:dark){:root{--ink:#d8dee4;--soft:#9aa4ae;--line:#3b424b;--back:#14181d;
--tint:#1d2229;--link:#79b8ff;--warn:#3a3117;--edge:#d9a514}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0 auto;padding:1rem;max-width:76rem;color:var(--ink);background:var(--back);
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0}
h2{font-size:1.25rem;margin:2.2rem 0 .4rem;padding-top:1rem;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:1.3rem 0 .4rem}
a{color:var(--link)}
p{margin:.4rem 0;max-width:48rem}
.lead,.note,figcaption{color:var(--soft)}
.note,figcaption{font-size:.85rem}
.note{margin:.3rem 0;max-width:60rem}
.notice{background:var(--warn);border-left:4px solid var(--edge);padding:.5rem .8rem;
max-width:60rem}
nav ul,.key{list-style:none;padding:0;margin:.6rem 0}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem}
nav a{display:inline-block;padding:.3rem 0}
.key li{margin:.25rem 0}
.key svg{margin-right:.5rem;vertical-align:middle;stroke-width:3}
.scroll{overflow-x:auto;max-width:100%;margin:.7rem 0}
table{border-collapse:separate;border-spacing:0;font-size:.9rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);font-size:.85rem;padding:.2rem 0}
th,td{padding:.28rem .7rem;border-bottom:1px solid var(--line);overflow-wrap:normal}
th{text-align:left;font-weight:600}
thead th{background:var(--tint);vertical-align:bottom}
td,thead th:nth-child(n+2){text-align:right;white-space:nowrap}
.unit{color:var(--soft);font-size:.85em;white-space:nowrap}
tbody th[scope=row]{font-weight:400;min-width:6.5rem;position:sticky;left:0;background:var(--back)}
.group th{padding-top:.9rem}
figure{margin:0}
figure img{display:block;max-width:100%;height:auto}
figcaption{padding:.25rem 0 .6rem;max-width:36rem}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,25rem),1fr));
gap:1rem 1.5rem;margin:.8rem 0}
.chart img{width:100%;max-width:34rem}
.charts.small{grid-template-columns:repeat(auto-fill,minmax(min(45%,13.5rem),1fr))}
.small img{max-width:15rem}
.pictures{display:flex;flex-wrap:wrap;gap:1rem 1.5rem}
.pixels{flex:0 1 auto;max-width:100%}
.pixels img{image-rendering:pixelated}
.wide img{background:#fff;min-width:min(50rem,200%)}
.still{display:none}
@media (prefers-reduced-motion:reduce){.motion{display:none}.still{display:block}}
details{margin:.4rem 0;border:1px solid var(--line);border-radius:6px;padding:.1rem .7rem}
summary{cursor:pointer;padding:.35rem 0}
pre{font:.8rem/1.45 ui-monospace,Menlo,Consolas,monospace;background:var(--tint);padding:.7rem;
max-height:28rem;overflow:auto}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
@media (max-width:40rem){
body{padding:.8rem}
table{font-size:.82rem}
th,td{padding:.25rem .4rem}
}
@media print{
:root{color-scheme:light;--ink:#000;--soft:#333;--line:#999;--back:#fff;--tint:#fff;--warn:#fff}
@page{margin:14mm}
html{font-size:9.5pt}
body{max-width:none;padding:0}
nav{display:none}
h2,h3,.lead,caption{break-after:avoid}
figure,tr,p{break-inside:avoid}
tbody th[scope=row]{position:static;background:none}
.charts{grid-template-columns:1fr 1fr}
.charts.small{grid-template-columns:repeat(4,1fr)}
.pictures figure{max-width:48%}
.wide img{min-width:0}
.motion,.still{display:none}
.scroll,pre{overflow:visible;max-height:none}
table{font-size:7.5pt}
th,td{padding:.15rem .35rem}
td,thead th:nth-child(n+2){white-space:normal}
pre{white-space:pre-wrap}
}
"""
