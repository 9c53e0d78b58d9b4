# What is installed, and how others find it: the libraries as resume::resume (host) and
# resume::firmware, the trampoline to go with either, headers, pkg-config files, man pages.
# resumectl and resume.efi install themselves.
include(CMakePackageConfigHelpers)

set(RESUME_PACKAGE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/resume")

# Names behind "resume::". trampoline.h is installed beside the other headers.
set_target_properties(resume PROPERTIES EXPORT_NAME resume)
set_target_properties(resume_firmware PROPERTIES EXPORT_NAME firmware)
set_target_properties(resume_trampoline PROPERTIES EXPORT_NAME trampoline)
set_target_properties(resume_trampoline_firmware PROPERTIES EXPORT_NAME trampoline_firmware)
foreach(target IN ITEMS resume_trampoline resume_trampoline_firmware)
    set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES
        "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/trampoline>;$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
endforeach()

install(TARGETS resume resume_firmware resume_trampoline resume_trampoline_firmware
    EXPORT resumeTargets
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT resumeTargets NAMESPACE resume:: DESTINATION ${RESUME_PACKAGE_DIR})
install(DIRECTORY "${PROJECT_SOURCE_DIR}/lib/include/resume" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN "*.h")
install(FILES "${PROJECT_SOURCE_DIR}/trampoline/trampoline.h"
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/resume)

configure_package_config_file(
    "${PROJECT_SOURCE_DIR}/cmake/resumeConfig.cmake.in" "${PROJECT_BINARY_DIR}/resumeConfig.cmake"
    INSTALL_DESTINATION ${RESUME_PACKAGE_DIR}
    NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/resumeConfigVersion.cmake"
    COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/resumeConfig.cmake"
    "${PROJECT_BINARY_DIR}/resumeConfigVersion.cmake"
    DESTINATION ${RESUME_PACKAGE_DIR})

# The pkg-config files find the prefix from where they lie, so that the tree can be moved.
cmake_path(IS_ABSOLUTE CMAKE_INSTALL_LIBDIR absolute)
if(absolute)
    set(RESUME_PC_PREFIX "${CMAKE_INSTALL_PREFIX}")
else()
    file(RELATIVE_PATH up "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
    string(REGEX REPLACE "/$" "" up "${up}")
    set(RESUME_PC_PREFIX "\${pcfiledir}/${up}")
endif()
foreach(variant IN ITEMS resume resume_firmware)
    string(REPLACE "_" "-" RESUME_PC_NAME ${variant})
    set(RESUME_PC_LIBS "-l${variant}")
    if(variant STREQUAL "resume")
        set(RESUME_PC_DESCRIPTION "Resume virtual machine snapshots from firmware (host build)")
        set(RESUME_PC_TRAMPOLINE "-lresume_trampoline")
    else()
        set(RESUME_PC_DESCRIPTION "Resume virtual machine snapshots from firmware (firmware build)")
        set(RESUME_PC_TRAMPOLINE "-lresume_trampoline_firmware")
    endif()
    configure_file("${PROJECT_SOURCE_DIR}/cmake/resume.pc.in"
        "${PROJECT_BINARY_DIR}/${RESUME_PC_NAME}.pc" @ONLY)
    install(FILES "${PROJECT_BINARY_DIR}/${RESUME_PC_NAME}.pc"
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()

if(RESUME_BUILD_TOOLS)
    install(FILES
        "${PROJECT_SOURCE_DIR}/docs/man/resumectl.1"
        "${PROJECT_SOURCE_DIR}/docs/man/resumectl-snapshot.1"
        "${PROJECT_SOURCE_DIR}/docs/man/resumectl-resume.1"
        "${PROJECT_SOURCE_DIR}/docs/man/resumectl-inspect.1"
        DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION ${CMAKE_INSTALL_DOCDIR})
