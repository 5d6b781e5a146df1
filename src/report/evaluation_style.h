#pragma once

namespace kvgauge {

/// The style sheet of HTML reports. Colours of series: Okabe and Ito's palette, which colour-blind readers can tell
/// apart; on paper lines differ by their dashes as well.
inline constexpr const char* kReportStyle = R"(
:root{color-scheme:light dark;--ink:#1b1d21;--soft:#5a6068;--paper:#fff;--panel:#f6f7f9;--rule:#d9dde3;--grid:#e7eaee;
--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#b5558f;--c4:#b8860b;--c5:#3aa0d8;--c6:#555b63;--c7:#7a5cc0;
--good:#0b6b4f;--goodbg:#e2f3ec;--bad:#8a3b00;--badbg:#fbeadd;--dull:#4d535b;--dullbg:#eceef1}
@media (prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#a2a9b3;--paper:#15171a;--panel:#1d2024;--rule:#363b42;--grid:#2a2e34;
--c0:#5ab4ee;--c1:#ff9550;--c2:#3fcf9f;--c3:#e29bc4;--c4:#e6c04a;--c5:#8fd0f5;--c6:#aab1bb;--c7:#b39df0;
--good:#7fe0bd;--goodbg:#12382d;--bad:#ffb88a;--badbg:#432511;--dull:#c3c8cf;--dullbg:#2b2f35}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif}
main{max-width:1080px;margin:0 auto;padding:28px 24px 60px}
h1{font-size:1.7em;line-height:1.2;margin:0 0 .2em}
h2{font-size:1.22em;margin:2.2em 0 .5em;padding-bottom:.2em;border-bottom:1px solid var(--rule)}
h3{font-size:1.02em;margin:1.6em 0 .3em}
p{margin:.5em 0;max-width:78ch}
code,.name{font:.93em ui-monospace,"DejaVu Sans Mono",monospace;unicode-bidi:isolate;overflow-wrap:anywhere}
.lead{font-size:1.06em}.soft,.note{color:var(--soft)}.note{font-size:.88em}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:10px;margin:16px 0}
.tile{background:var(--panel);border:1px solid var(--rule);border-radius:6px;padding:8px 12px}
.tile b{display:block;font-size:1.35em;font-weight:600}.tile span{color:var(--soft);font-size:.85em}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 14px;font-size:.88em;margin:12px 0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere;unicode-bidi:isolate}
.scroll{overflow-x:auto;margin:10px 0}
td .verdict{white-space:normal;min-width:15em;max-width:22em}
table{border-collapse:collapse;font-size:.86em;font-variant-numeric:tabular-nums;width:100%}
th,td{padding:3px 7px;text-align:right;border-bottom:1px solid var(--rule)}td{white-space:nowrap}
th{font-weight:600;color:var(--soft);border-bottom:2px solid var(--rule);vertical-align:bottom}
th:first-child,td:first-child,.left{text-align:left!important}
td.name{overflow-wrap:break-word;max-width:34em;white-space:normal}
tbody tr.base td{background:var(--panel)}
.verdict{display:inline-block;padding:0 7px;border-radius:9px;font-size:.94em;background:var(--dullbg);color:var(--dull)}
.verdict.good{background:var(--goodbg);color:var(--good)}.verdict.bad{background:var(--badbg);color:var(--bad)}
figure{margin:10px 0;min-width:0}
figcaption{font-weight:600;font-size:.88em;margin-bottom:2px}
.two{display:grid;grid-template-columns:1fr 1fr;gap:20px}
.card{border:1px solid var(--rule);border-radius:8px;padding:4px 16px 10px;margin:16px 0}
.panels{display:grid;grid-template-columns:repeat(3,1fr);gap:6px 18px}
.panels .facts{font-size:.86em;padding-top:.4em}.facts dl{font-size:1em;margin:.2em 0}
svg{display:block;width:100%;height:auto;overflow:visible}
svg text{font:11.5px system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;fill:var(--ink)}
svg text.label{fill:var(--soft)}svg .mid{text-anchor:middle}svg .end{text-anchor:end}
.grid{stroke:var(--grid);stroke-width:1}.axis{fill:none;stroke:var(--soft);stroke-width:1}
.line{fill:none;stroke:var(--c);stroke-width:1.8;stroke-linejoin:round}.line.thin{stroke-width:1.2}
.area{fill:var(--c);fill-opacity:.16;stroke:none}.reference{--c:var(--soft);stroke-width:1;stroke-dasharray:2 3}
.dots{fill:none;stroke:var(--c);stroke-linecap:round}.faint{stroke-opacity:.6}
.dot{fill:var(--c);stroke:var(--c);stroke-width:1.4}.part{fill:var(--c)}.dot.hollow{fill:var(--paper)}
.mark{stroke:var(--soft);stroke-width:1}.mark.m0{stroke-dasharray:2 3}.mark.m1{stroke-dasharray:7 3}.line.mark{--c:var(--soft)}
.c0{--c:var(--c0)}.c1{--c:var(--c1)}.c2{--c:var(--c2)}.c3{--c:var(--c3)}.c4{--c:var(--c4)}.c5{--c:var(--c5)}.c6{--c:var(--c6)}.c7{--c:var(--c7)}
.d1{stroke-dasharray:5 2.5}.d2{stroke-dasharray:1.5 2.5}.d3{stroke-dasharray:8 2 2 2}.d4{stroke-dasharray:11 3}.d5{stroke-dasharray:3 2}
.d6{stroke-dasharray:7 2 1.5 2 1.5 2}.d7{stroke-dasharray:2 4}
.area.d1,.dots.d1{stroke-dasharray:none}
.legend{font-size:.82em;margin:2px 0 0;display:flex;flex-wrap:wrap;gap:2px 14px;max-width:none}
.legend span{display:inline-flex;align-items:center;gap:5px;overflow-wrap:anywhere}
.swatch{display:inline-block;width:26px;height:10px;flex:none}
footer{margin-top:3em;color:var(--soft);font-size:.84em;border-top:1px solid var(--rule);padding-top:.8em}
@media (max-width:760px){.two,.panels{grid-template-columns:1fr}}
@page{size:A4;margin:13mm 12mm}
@media print{
:root{color-scheme:light;--ink:#000;--soft:#444;--paper:#fff;--panel:#f6f7f9;--rule:#bbb;--grid:#e3e6ea;
--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#b5558f;--c4:#b8860b;--c5:#3aa0d8;--c6:#555b63;--c7:#7a5cc0;
--good:#0b6b4f;--goodbg:#fff;--bad:#8a3b00;--badbg:#fff;--dull:#333;--dullbg:#fff}
body{font-size:9.5pt}main{max-width:none;padding:0}h1{font-size:15pt}
h2,h3,figcaption{break-after:avoid}figure,.card,tr,.tile,dl{break-inside:avoid}thead{display:table-header-group}
.scroll{overflow:visible}table{font-size:7pt}th,td{padding:1.5px 3px}td.name{overflow-wrap:anywhere;min-width:25ch;font-size:6.6pt}td .verdict{max-width:none;min-width:13em}.verdict{padding:0}
.two{grid-template-columns:1fr 1fr}.panels{grid-template-columns:repeat(3,1fr)}.first{break-after:avoid}
.tiles{grid-template-columns:repeat(5,1fr)}.card{padding:0 10px 4px;margin:10px 0}.card h3{margin:.7em 0 .2em}.panels figure{margin:3px 0}}
)";

}  // namespace kvgauge
