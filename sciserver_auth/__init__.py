"""Sign-on: the embedded identity provider and the hub's authenticator for it, or for any OpenID Connect provider.

`sciserver_auth.authenticator` runs inside the hub, `sciserver_auth.portal` is a process of its own. They share the
rule for user names (`sciserver_auth.names`) and the standards' names of events (`sciserver_auth.events`), and nothing
else: the protocol between them is OpenID Connect.
"""
