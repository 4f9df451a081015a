"""Mails made to fetch, attach, run or exhaust. `{u}` in them is the address of a listening canary."""

from __future__ import annotations

from collections.abc import Callable

FETCHERS: dict[str, str] = {
    "css_url": (
        "<style>@import url({u}/import.css);@import '{u}/import2.css';body{{background:url({u}/bg.png)}}"
        "@font-face{{font-family:x;src:url({u}/f.woff)}}"
        "p{{font-family:x;list-style-image:url({u}/l.png);cursor:url({u}/c)}}"
        "p::before{{content:url({u}/before)}}</style><p style='background-image:url({u}/inline.png)'>x"
    ),
    "css_escape": (
        "<p style='background:u\\72l({u}/a)'>x<p style='background:\\75\\72\\6c({u}/b)'>y"
        "<p style='background-image:image-set(\"{u}/c\" 1x)'>z<p style='background:/**/url(/**/{u}/d)'>w"
    ),
    "css_outlook_comment": "<style><!-- p{{background:url({u}/a)}} --></style><p>x",
    "link_rel": (
        "<link rel=stylesheet href='{u}/s.css'><link rel=attachment href='file:///etc/hostname'>"
        "<link rel=attachment href='{u}/att'>"
        "<a rel=attachment href='file:///etc/hostname'>a</a><base href='{u}/'>x<img src=r.png>"
    ),
    "attach_file": "<a rel=attachment href='{u}/x' download>x</a><link rel=attachment href='/etc/hostname'>",
    "file_img": (
        "<img src='file:///etc/hostname'><img src=/etc/hostname><object data='file:///etc/hostname'></object>"
        "<embed src='file:///etc/passwd'><iframe src='file:///etc/passwd'></iframe>x"
    ),
    "svg": (
        "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script>"
        "<image href='{u}/s.png' xlink:href='{u}/x.png'/>"
        "<use href='{u}/u.svg#a'/><foreignObject><img src='{u}/fo.png'></foreignObject></svg>x"
    ),
    "math": "<math><mtext><img src='{u}/m.png'></mtext>"
    "<annotation-xml encoding='text/html'><img src='{u}/n.png'></math>x",
    "images": (
        "<img src='{u}/a.png' alt=Photo><img srcset='{u}/b.png 2x' src='{u}/c.png'><picture><source srcset='{u}/d.png'>"
        "<img src='{u}/e.png'></picture><input type=image src='{u}/f.png'>"
        "<video poster='{u}/g.png' src='{u}/v'></video>"
        "<audio src='{u}/h'></audio><table background='{u}/j.png'><tr><td background='{u}/k.png'>x</table>"
    ),
    "body_background": "<body background='{u}/i.png' style='background:url({u}/j.png)'>x",
    "meta": (
        "<meta http-equiv=refresh content='0;url={u}/r'><form action='{u}/f'><input formaction='{u}/g'></form>"
        "<p onclick='alert(1)'>y<a href='javascript:alert(1)' ping='{u}/p'>z</a>"
    ),
    "data_svg": "<img src='data:image/svg+xml,&lt;svg xmlns=&quot;http://www.w3.org/2000/svg&quot;>"
    "&lt;image href=&quot;{u}/x&quot;/>'>x",
    "mutation": (
        "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src={u}/a onerror=alert(1)&gt;'>"
        "<noscript><p title='</noscript><img src={u}/b onerror=alert(1)>'>"
        "<svg></p><style><a id='</style><img src={u}/c>'>"
    ),
    "xml": "<?xml-stylesheet href='{u}/x.css'?><!DOCTYPE html SYSTEM '{u}/d.dtd' "
    "[<!ENTITY e SYSTEM 'file:///etc/passwd'>]><p>&e;x",
    "outlook_vml": "<!--[if gte vml 1]><v:image src='{u}/v.png'/><![endif]-->"
    "<v:fill src='{u}/f.png'/><v:imagedata src='{u}/g'/>x",
}

BOMBS: dict[str, Callable[[], str]] = {
    "nested_flex": lambda: "<div style='display:flex'>" * 20 + "x",
    "grid_repeat": lambda: "<div style='display:grid;grid-template-columns:repeat(100000,1px)'>x",
    "colspan": lambda: "<table><tr><td colspan=100000000>x</table>",
    "rowspan": lambda: "<table>" + "<tr><td rowspan=65534>x" * 200 + "</table>",
    "divs_100k": lambda: "<div>" * 100_000 + "x",
    "divs_hidden_from_a_count": lambda: "<div><!--</div>-->" * 40_000 + "x",
    "nested_tables": lambda: "<table><tr><td>" * 400 + "x",
    "nested_fonts": lambda: "".join(f"<font size={i % 7 + 1} color=#{i:06x}>" for i in range(20_000)) + "x",
    "gradients": lambda: "<div style='background:" + "linear-gradient(red,blue)," * 2000 + ";width:1e9px'>x",
    "huge_sizes": lambda: (
        "<p style='font-size:1e9px;line-height:1e9;margin:-1e9px;padding:99999999999px;letter-spacing:1e8px;"
        "text-indent:-1e8px;height:99999999px;border:99999px solid'>x</p>"
        "<img width=999999999 height=999999999 src=cid:ok>"
    ),
    "accents": lambda: "<p>e" + "&#x0301;" * 50_000 + "x",
    "control_characters": lambda: "\0<p>\ud800 \x01 a\x00b \ufffe \u202egnp.exe x",
    "attributes": lambda: (
        "<p " + " ".join(f"a{i}=1" for i in range(20_000)) + ">x<p style='" + "color:red;" * 20_000 + "'>y"
    ),
    "line_breaks": lambda: "<br>" * 100_000 + "x",
    "nested_spans": lambda: "<span>" * 5000 + "x",
    "nested_percentages": lambda: "<table width=100%><tr><td style='width:37%'>a<td>" * 60 + "x",
    "unclosed": lambda: "x<table><tr><td><b><i><a href='x'><!-- <p>" + "<" * 5000,
    "quotes": lambda: "x" + "<a '" * 20_000 + '<b "' * 20_000,
    "comments": lambda: "x" + "<!--" * 100_000,
    "pre": lambda: "<pre>x" + "\n" * 100_000,
    "bidi": lambda: ("<bdo dir=rtl>a<bdi>ב</bdi>" * 60 + "x</bdo>") * 20,
}

HEAVY: dict[str, Callable[[], str]] = {
    "rows_50k": lambda: "<table>" + "<tr><td>1<td>2" * 50_000 + "</table>",
    "pages_20k": lambda: "<p style='page-break-after:always'>x</p>" * 20_000,
    "counters": lambda: (
        "<style>p{counter-increment:a;content:counters(a,'.')}p::before{content:counter(a)}</style>" + "<p>x" * 20_000
    ),
    "selectors": lambda: (
        "<style>"
        + "".join(f"div:nth-child({i}n+1) p > span.a{i}{{color:red}}" for i in range(5000))
        + "</style>"
        + "<div><p><span class=a1>x</span></p></div>" * 1000
    ),
}
