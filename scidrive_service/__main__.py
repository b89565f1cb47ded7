"""``python -m scidrive_service``: run SciDrive and the file service in the foreground."""

from scidrive_service.app import SciDrive

if __name__ == "__main__":
    SciDrive.launch_instance()
