"""Sending: approved mail to its next hop by SMTP, an outcome for every copy. Decides nothing and changes no content."""
