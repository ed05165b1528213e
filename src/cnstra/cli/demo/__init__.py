"""`cnstra demo`: audits this machine's Python packages while their worker is killed."""
