"""``python -m casjobs_service``: run CasJobs in the foreground."""

from casjobs_service.app import CasJobs

if __name__ == "__main__":
    CasJobs.launch_instance()
