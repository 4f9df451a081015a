"""Pages a recipient's browser opens. Start with views.make_pages; brands come from brand.read_brand.

texts = read_texts(templates_folder() / "portal" / "translations")
bundle = read_bundle(static_folder() / "portal" / "dist" / "manifest.json")
pages = make_pages(portal=ID, brands=[read_brand(table, base)], texts=texts, bundle=bundle, policy=PagePolicy(),
                   links=links, templates=templates_folder() / "portal", base_url=settings.url)
app.register_blueprint(pages.blueprint)          # pages.show_error(status, reference, seconds) for error handlers
"""

from __future__ import annotations

from portal.pages.assets import Asset, Bundle, read_bundle
from portal.pages.brand import Brand, read_brand
from portal.pages.languages import Texts, read_texts
from portal.pages.ports import JoinState, Links, PagePolicy, ReplyLink
from portal.pages.views import ERROR_STATUSES, Pages, make_frame_policy, make_pages

__all__ = [
    "ERROR_STATUSES",
    "Asset",
    "Brand",
    "Bundle",
    "JoinState",
    "Links",
    "PagePolicy",
    "Pages",
    "ReplyLink",
    "Texts",
    "make_frame_policy",
    "make_pages",
    "read_brand",
    "read_bundle",
    "read_texts",
]
