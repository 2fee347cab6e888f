"""What the playbooks, the fabfile and the report share on the controller."""
