# Debian packages, by "cpack -G DEB" in the build directory, one for each component of ResumeInstall.cmake.
# They install in /usr, wherever the build itself would.
set(CPACK_GENERATOR "DEB")
set(CPACK_PACKAGE_NAME "libresume")
set(CPACK_PACKAGE_CONTACT "The libresume authors <libresume@packages.invalid>")
set(CPACK_PACKAGE_VERSION "${PROJECT_VERSION}")
set(CPACK_PACKAGING_INSTALL_PREFIX "/usr")
set(CPACK_STRIP_FILES ON)
set(CPACK_VERBATIM_VARIABLES ON)
# No directory is to be writable by a group, whatever umask the build has.
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_COMPONENTS_ALL core)
if(RESUME_BUILD_SEAL)
    list(APPEND CPACK_COMPONENTS_ALL seal)
endif()
if(RESUME_BUILD_TOOLS)
    list(APPEND CPACK_COMPONENTS_ALL import tools)
endif()
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(CPACK_DEBIAN_CORE_PACKAGE_NAME "libresume-dev")
set(CPACK_DEBIAN_CORE_PACKAGE_SECTION "libdevel")
set(CPACK_COMPONENT_CORE_DESCRIPTION
    "Static libraries and headers that put a snapshot's CPU state back from
inside a virtual machine: in firmware (freestanding, no red zone, general
registers only) and on a host. Both come with the trampoline.")

set(CPACK_DEBIAN_IMPORT_PACKAGE_NAME "libresume-import-dev")
set(CPACK_DEBIAN_IMPORT_PACKAGE_SECTION "libdevel")
list(JOIN RESUME_IMPORT_PACKAGES ", " CPACK_DEBIAN_IMPORT_PACKAGE_DEPENDS)
string(PREPEND CPACK_DEBIAN_IMPORT_PACKAGE_DEPENDS "libresume-dev (= ${PROJECT_VERSION}), ")
set(CPACK_COMPONENT_IMPORT_DESCRIPTION
    "Static library and header that read the registers of stopped x86-64 virtual
machines, and their memory, out of what monitors and tools leave: streams,
dumps, snapshots and register listings of QEMU, KVM, Xen and others.")

set(CPACK_DEBIAN_SEAL_PACKAGE_NAME "libresume-seal-dev")
set(CPACK_DEBIAN_SEAL_PACKAGE_SECTION "libdevel")
list(JOIN RESUME_SEAL_PACKAGES ", " CPACK_DEBIAN_SEAL_PACKAGE_DEPENDS)
string(PREPEND CPACK_DEBIAN_SEAL_PACKAGE_DEPENDS "libresume-dev (= ${PROJECT_VERSION}), ")
set(CPACK_COMPONENT_SEAL_DESCRIPTION
    "Static libraries and headers that read sealed snapshot images: in firmware, with
BearSSL, LZ4 and Zstandard built for it, and on a host.")

set(CPACK_DEBIAN_TOOLS_PACKAGE_NAME "resumectl")
set(CPACK_DEBIAN_TOOLS_PACKAGE_SECTION "otherosfs")
set(CPACK_DEBIAN_TOOLS_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_TOOLS_PACKAGE_RECOMMENDS "qemu-system-x86")
set(CPACK_DEBIAN_TOOLS_PACKAGE_SUGGESTS "ovmf")
set(CPACK_COMPONENT_TOOLS_DESCRIPTION
    "Takes snapshots of running x86-64 virtual machines and resumes them in a new
QEMU process, whose firmware restores every register from inside. Shows and
compares the CPU state in files of other monitors too.")

# Copyright, changelog, compressed pages: what Debian's packages have on top of what is installed elsewhere.
set(CPACK_PRE_BUILD_SCRIPTS "${PROJECT_SOURCE_DIR}/cmake/FinishDebian.cmake")
set(CPACK_RESUME_SOURCE "${PROJECT_SOURCE_DIR}")
set(CPACK_RESUME_OBJCOPY "${CMAKE_OBJCOPY}")
set(CPACK_RESUME_PACKAGES
    "core=libresume-dev;import=libresume-import-dev;seal=libresume-seal-dev;tools=resumectl")
include(CPack)
