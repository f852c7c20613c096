# SPDX-License-Identifier: GPL-2.0

# Everything that is built or fetched goes there.
BUILD ?= build
# Which kernel: rust, or c for upstream's.
IMPL ?= rust
# Or one of more: debug is rust with all of the kernel's checks; see lab.py.
KERNEL ?= $(IMPL)$(addprefix -,$(TOOLCHAIN))

export BUILD := $(abspath $(BUILD))
DAX := tools/testing/dax
LAB := $(DAX)/machine/lab
# Machines that run tests at the same time.
JOBS ?= 2
export JOBS
# pytest is a package of the system, not of another Python that PATH may have.
PYTEST = /usr/bin/python3 -m pytest $(DAX) -n $(JOBS) -o cache_dir=$(BUILD)/pytest-$(KERNEL)

help:
	@echo 'make run                  set everything up, then demonstrate it: write to a devdax'
	@echo '                          namespace, reboot, and read the data back'
	@echo 'make test [T=<name>]      run the daily tests, or one; IMPL=c: on upstream'\''s C; KERNEL=debug:'
	@echo '                          on a kernel with KASAN, lockdep, kmemleak and more (much slower);'
	@echo '                          ARGS=<options of pytest>, as ARGS="--lf -x" or ARGS="-m hmem";'
	@echo '                          PACE=4: multiply the time limits, on a busy machine'
	@echo 'make test-all             run all tests on all kernels, which takes some hours; after an'
	@echo '                          interruption, the same command continues'
	@echo 'make test-matrix          test Rust modules on the C core, C modules on the Rust core, and'
	@echo '                          any two modules together'
	@echo 'make test-builds          build rust/ and drivers/dax with other compilers, for other configurations'
	@echo '                          and architectures; it takes some hours; after an interruption, the same'
	@echo '                          command continues. T=<name>: one of them'
	@echo 'make ndctl-suite NDCTL=<tree>   ndctl'\''s own tests [T=<name>], from its source'
	@echo 'make bench [QUICK=1]      compare C and Rust, counted in instructions; CLOCK=time: in cycles;'
	@echo '                          TOOLCHAIN=gcc: faults only, in kernels by other compilers'
	@echo 'make objdump OBJECT=<object> FUNCTION=<part of its name> [IMPL=c]'
	@echo '                          print the machine code of a function'
	@echo 'make shell [IMPL=c]       a prompt in the booted machine (MACHINE=nvdimm, nvdimm2, legacy,'
	@echo '                          hmem, hmem-large, cxl, virtio-pmem or nfit)'
	@echo 'make kernel [IMPL=c]      build the kernel into $$BUILD/kernel-rust (kernel-c). TOOLCHAIN=gcc,'
	@echo '                          also for make test: by gcc; forky or experimental: by that Debian suite'
	@echo 'make modules [KVER=<release>]   modules in Rust for a kernel of Debian as it is; default: the'
	@echo '                          running one if it is of Linux 7.3, else the newest [FLAVOUR=cloud-amd64]'
	@echo 'make deb [KVER=<release>] packages of them, for apt; default: as above, but of all flavours.'
	@echo '                          SIGN_KEY=, SIGN_CERT=: sign the modules'
	@echo 'make test-stock           install the package in a guest with that kernel, test it, remove it'
	@echo '                          [FLAVOUR=amd64]'
	@echo 'make deb-kernel [FLAVOUR=cloud-amd64]   packages of a kernel with all of DAX in Rust, configured as'
	@echo '                          Debian'\''s; it takes an hour or more; after an interruption, the same'
	@echo '                          command continues. test-deb-kernel: test it in a guest, too'
	@echo 'make check-<which>        static checks: rustfmt, lint (clippy and W=1), checkpatch, rustdoc'
	@echo 'make overlay KSRC=<tree>  apply the overlay to your own Linux 7.3 tree'
	@echo 'make overlay-remove KSRC=<tree>   remove it again'
	@echo 'make series               divide the overlay into commits for review, with a cover letter'
	@echo 'make series-check         build and check each of these commits; it takes an hour or more;'
	@echo '                          after an interruption, the same command continues'
	@echo 'make setup                toolchain, kernel source and guest image only'
	@echo 'make clean                remove everything that was built and fetched'
	@echo
	@echo 'BUILD=<directory>         build there; default: build. Clones may share one'

run:
	@$(LAB) run

shell kernel:
	@$(LAB) $@ $(KERNEL)

setup clean:
	@$(LAB) $@

check-%:
	@$(LAB) check $*

test: setup
	@$(LAB) kernel $(KERNEL)
	@KERNEL=$(KERNEL) $(PYTEST) --test='$(T)' $(ARGS)

test-all test-matrix: setup
	@/usr/bin/python3 $(DAX)/run/all_kernels.py $(@:test-%=%)

ndctl-suite: setup
	@test -n '$(NDCTL)' || { echo 'dax: say which: make $@ NDCTL=<a source tree of ndctl>' >&2; exit 1; }
	@$(LAB) kernel $(KERNEL)
	@KERNEL=$(KERNEL) python3 $(DAX)/run/ndctl_suite.py '$(NDCTL)' $(T)

# With other compilers: the kernels to compare, and the parts with faults.
OTHER = $(foreach impl,c rust,--$(impl) $(BUILD)/kernel-$(impl)-$(TOOLCHAIN)) --part mapping --part bare

bench: setup
	@$(LAB) kernel rust$(addprefix -,$(TOOLCHAIN))
	@$(LAB) kernel c$(addprefix -,$(TOOLCHAIN))
	@python3 $(DAX)/bench/bench.py $(if $(TOOLCHAIN),$(OTHER))

objdump:
	@test -n '$(OBJECT)' || { echo 'dax: say which: make $@ OBJECT=drivers/dax/device_dax.o FUNCTION=fault' >&2; exit 1; }
	@$(LAB) objdump $(KERNEL) '$(OBJECT)' '$(FUNCTION)'

modules deb:
	@FLAVOUR='$(FLAVOUR)' SIGN_KEY='$(SIGN_KEY)' SIGN_CERT='$(SIGN_CERT)' $(LAB) stock $@ $(KVER)

test-stock:
	@$(LAB) stock test $(FLAVOUR)

test-builds:
	@$(LAB) builds $(or $(T),all)

deb-kernel:
	@$(LAB) deb-kernel build $(FLAVOUR)

test-deb-kernel:
	@$(LAB) deb-kernel test $(FLAVOUR)

overlay overlay-remove:
	@test -n '$(KSRC)' || { echo 'dax: say which tree: make $@ KSRC=<a Linux 7.3 tree>' >&2; exit 1; }
	@python3 $(DAX)/overlay.py $(if $(filter overlay,$@),apply,remove) '$(KSRC)'

series:
	@$(LAB) series make

series-check:
	@$(LAB) series check

.PHONY: help run shell kernel setup clean test test-all test-matrix ndctl-suite bench objdump \
	modules deb test-stock test-builds deb-kernel test-deb-kernel overlay overlay-remove series series-check
