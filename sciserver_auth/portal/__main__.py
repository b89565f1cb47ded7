"""``python -m sciserver_auth.portal``: run the identity provider in the foreground."""

from sciserver_auth.portal.app import Portal

if __name__ == "__main__":
    Portal.launch_instance()
