# Debian's libbearssl-dev has neither a CMake nor a pkg-config file. Provides bearssl::bearssl.
find_path(BEARSSL_INCLUDE_DIR bearssl.h)
find_library(BEARSSL_LIBRARY NAMES libbearssl.a bearssl)
mark_as_advanced(BEARSSL_INCLUDE_DIR BEARSSL_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(BearSSL REQUIRED_VARS BEARSSL_LIBRARY BEARSSL_INCLUDE_DIR)

if(BearSSL_FOUND AND NOT TARGET bearssl::bearssl)
    add_library(bearssl::bearssl UNKNOWN IMPORTED)
    set_target_properties(bearssl::bearssl PROPERTIES
        IMPORTED_LOCATION "${BEARSSL_LIBRARY}"
        INTERFACE_INCLUDE_DIRECTORIES "${BEARSSL_INCLUDE_DIR}")
endif()
