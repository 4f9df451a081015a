"""Response headers of the public side (portal.md 3.4), on each response; a route may set its own policy first."""

from __future__ import annotations

from flask import Flask, Response, request

FRAME_PATH = "/frame"
STATIC_PREFIX = "/static/"

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; frame-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types letterlock dompurify"
)
_FEATURES = (
    "accelerometer",
    "autoplay",
    "camera",
    "display-capture",
    "encrypted-media",
    "fullscreen",
    "geolocation",
    "gyroscope",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "picture-in-picture",
    "screen-wake-lock",
    "usb",
    "xr-spatial-tracking",
)
PERMISSIONS = ", ".join(f"{name}=()" for name in _FEATURES)


def install_headers(app: Flask, *, with_hsts: bool) -> None:
    """Set the headers on every response of this app. `with_hsts`: RFC 6797, not for a host's own loopback names."""

    @app.after_request
    def set_headers(response: Response) -> Response:
        is_frame = request.path == FRAME_PATH
        is_static = request.path.startswith(STATIC_PREFIX)
        headers = response.headers
        if "Content-Security-Policy" not in headers:
            headers["Content-Security-Policy"] = CONTENT_POLICY
        # Our scripts alone, each with its hash; inline scripts are shut out by the policy above.
        headers["Integrity-Policy"] = "blocked-destinations=(script)"
        if "X-Frame-Options" not in headers:
            headers["X-Frame-Options"] = "SAMEORIGIN" if is_frame else "DENY"
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Permissions-Policy"] = PERMISSIONS
        headers["X-Robots-Tag"] = "noindex, nofollow"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        # Files of the program are public, and the frame's opaque origin loads one of them with its hash.
        headers["Cross-Origin-Resource-Policy"] = "cross-origin" if is_static else "same-origin"
        if is_static:
            headers["Access-Control-Allow-Origin"] = "*"
        if with_hsts:
            headers["Strict-Transport-Security"] = "max-age=63072000; includeSubDomains"
        if "Cache-Control" not in headers or response.status_code >= 400:
            headers["Cache-Control"] = "no-store"
        return response
