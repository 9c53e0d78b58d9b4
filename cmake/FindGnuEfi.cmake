# gnu-efi ships neither a CMake nor a pkg-config file. Gives GNUEFI_INCLUDE_DIRS,
# GNUEFI_START_OBJECT and GNUEFI_LINKER_SCRIPT (x86-64).
find_path(GNUEFI_INCLUDE_DIR efi.h PATH_SUFFIXES efi)
find_file(GNUEFI_START_OBJECT crt0-efi-x86_64.o PATHS /usr/lib /usr/lib64 PATH_SUFFIXES gnuefi)
find_file(GNUEFI_LINKER_SCRIPT elf_x86_64_efi.lds PATHS /usr/lib /usr/lib64 PATH_SUFFIXES gnuefi)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(GnuEfi
    REQUIRED_VARS GNUEFI_INCLUDE_DIR GNUEFI_START_OBJECT GNUEFI_LINKER_SCRIPT)
set(GNUEFI_INCLUDE_DIRS ${GNUEFI_INCLUDE_DIR} ${GNUEFI_INCLUDE_DIR}/x86_64)
mark_as_advanced(GNUEFI_INCLUDE_DIR GNUEFI_START_OBJECT GNUEFI_LINKER_SCRIPT)
