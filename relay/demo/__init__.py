"""Tools of `letterlock demo`: what stands for the world outside (catcher), the page that shows it, and sample mails.

Nothing here is part of a production process; the gateway itself runs as in production and knows none of this.
"""
