# make run    set up, then federated training on this machine
# make test   set up, then every test (as root those that need it, too)
# make test ROLE=service   only that role's molecule scenario (as root)
# make lint   only the linters and the type checker
# make stop   end the run and the services on this machine
# make lab    (as root) boot virtual devices for inventory/lab.yml
# make lab-arm64, make lab-vm   beside them, hosts of the boards' architecture (tests/lab/README.md); built once, minutes
# make lab-down [NAME=arm64]    remove every trace of all of them, or of one
# make test-arm64, make test-vm   (as root) the tests of the slower tiers, which `make test` leaves out
# make clean  remove the virtual environment and the fleet of this machine (results/ stays)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STATE := .fleet
# What a provisioned fleet depends on: a second `make run` provisions only when one of them changed.
SOURCES := $(shell find inventory playbooks roles files fl_app/fast_rounds fl_app/eager_torch.py -type f -not -name '*.pyc' 2>/dev/null) fl_app/pyproject.toml ansible.cfg

# Most tests wait most of the time. Those that would disturb each other are kept apart by conftest.py.
SIDE_BY_SIDE := --numprocesses 4 --dist loadscope --no-loadscope-reorder

.PHONY: run test test-arm64 test-vm lint stop clean venv lab lab-arm64 lab-vm lab-down
.DELETE_ON_ERROR:

run: $(STATE)/provisioned
	$(BIN)/ansible-playbook playbooks/run_fl.yml -e rounds=3
	@$(BIN)/python -m fleet.rounds results/latest

venv: $(VENV)/installed

$(VENV)/installed: requirements.txt files/constraints/fleet.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the requirements into $(VENV) (once; some minutes)"
	$(BIN)/python files/install_requirements.py
	@touch $@

$(VENV)/tested: $(VENV)/installed tests/requirements.txt
	$(BIN)/python files/install_requirements.py requirements.txt tests/requirements.txt
	@touch $@

$(STATE)/provisioned: $(VENV)/installed $(SOURCES)
	$(BIN)/ansible-playbook playbooks/provision.yml
	@touch $@

test: $(VENV)/tested
	$(BIN)/python -m pytest $(if $(ROLE),"tests/integration/test_molecule.py::test_scenario[$(ROLE)]",$(SIDE_BY_SIDE))

test-arm64: $(VENV)/tested
	$(BIN)/python tests/lab cache arm64
	$(BIN)/python -m pytest tests/integration/test_lab_arm64.py tests/integration/test_provision_arm64.py

test-vm: $(VENV)/tested
	$(BIN)/python tests/lab cache vm
	$(BIN)/python -m pytest tests/integration/test_lab_vm.py tests/integration/test_pi_vm.py

lint: $(VENV)/tested
	$(BIN)/python -m pytest tests/lint

stop: venv
	$(BIN)/ansible-playbook playbooks/stop.yml -e services=true

clean: stop
	rm -rf $(VENV) $(STATE)

lab: venv
	$(BIN)/python tests/lab up

lab-arm64 lab-vm: lab-%: venv
	$(BIN)/python tests/lab cache $*
	$(BIN)/python tests/lab --name $* up --subnet auto tests/lab/fleets/$*.yml

lab-down: venv
	$(BIN)/python tests/lab $(if $(NAME),--name $(NAME) down,down --all)
