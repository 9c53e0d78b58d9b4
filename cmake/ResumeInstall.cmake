# What is installed, and how others find it. Components, which are the Debian packages too:
#   core    the library as resume::resume (host) and resume::firmware, the trampoline to go with either
#   import  resume::import, which reads CPU state on a host
#   seal    resume::seal (host) and resume::seal_firmware, which read snapshot images
#   tools   resumectl, resume.efi and pvh-firmware.elf (each installs itself), man pages
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
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT core)
install(EXPORT resumeTargets NAMESPACE resume:: DESTINATION ${RESUME_PACKAGE_DIR} COMPONENT core)
install(DIRECTORY "${PROJECT_SOURCE_DIR}/lib/include/resume" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    COMPONENT core FILES_MATCHING PATTERN "*.h")
install(FILES "${PROJECT_SOURCE_DIR}/trampoline/trampoline.h"
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/resume COMPONENT core)

# An export set of its own: who wants only the core does not need what the importers need.
if(TARGET resume_import_installed)
    set_target_properties(resume_import_installed PROPERTIES EXPORT_NAME import)
    install(TARGETS resume_import_installed EXPORT resumeImportTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT import)
    install(EXPORT resumeImportTargets NAMESPACE resume:: DESTINATION ${RESUME_PACKAGE_DIR}
        COMPONENT import)
    install(FILES "${PROJECT_SOURCE_DIR}/lib/import/include/resume/import.h"
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/resume COMPONENT import)
endif()

# Two export sets: firmware needs none of the host's libraries. What firmware gets of others (the codecs) is
# an archive of its own, so that who has them already can leave it out.
if(TARGET resume_seal)
    set_target_properties(resume_seal_installed PROPERTIES EXPORT_NAME seal)
    install(TARGETS resume_seal_installed EXPORT resumeSealTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT seal)
    install(EXPORT resumeSealTargets NAMESPACE resume:: DESTINATION ${RESUME_PACKAGE_DIR} COMPONENT seal)
    install(DIRECTORY "${PROJECT_SOURCE_DIR}/lib/seal/include/resume"
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT seal FILES_MATCHING PATTERN "*.h")
endif()
if(TARGET resume_seal_firmware)
    set_target_properties(resume_seal_firmware_installed PROPERTIES EXPORT_NAME seal_firmware)
    set_target_properties(resume_seal_codecs_firmware PROPERTIES EXPORT_NAME seal_codecs_firmware)
    install(TARGETS resume_seal_firmware_installed resume_seal_codecs_firmware
        EXPORT resumeSealFirmwareTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT seal)
    install(EXPORT resumeSealFirmwareTargets NAMESPACE resume:: DESTINATION ${RESUME_PACKAGE_DIR}
        COMPONENT seal)
    foreach(license name IN ZIP_LISTS RESUME_SEAL_LICENSES RESUME_SEAL_CODECS)
        install(FILES "${license}" RENAME LICENSE.${name} DESTINATION ${CMAKE_INSTALL_DOCDIR}
            COMPONENT seal)
    endforeach()
endif()

set(RESUME_CONFIG_SEAL_MODULES "${RESUME_SEAL_MODULES}")
list(JOIN RESUME_CONFIG_SEAL_MODULES " " RESUME_CONFIG_SEAL_MODULES)
list(JOIN RESUME_IMPORT_MODULES " " RESUME_PC_MODULES)
configure_package_config_file(
    "${PROJECT_SOURCE_DIR}/cmake/resumeConfig.cmake.in" "${PROJECT_BINARY_DIR}/resumeConfig.cmake"
    INSTALL_DESTINATION ${RESUME_PACKAGE_DIR}
    NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/resumeConfigVersion.cmake"
    COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/resumeConfig.cmake"
    "${PROJECT_BINARY_DIR}/resumeConfigVersion.cmake"
    DESTINATION ${RESUME_PACKAGE_DIR} COMPONENT core)

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
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT core)
endforeach()
if(TARGET resume_import_installed)
    list(JOIN RESUME_IMPORT_MODULES ", " RESUME_PC_REQUIRES)
    list(TRANSFORM RESUME_IMPORT_LIBRARIES PREPEND "-l" OUTPUT_VARIABLE RESUME_PC_LIBS)
    list(JOIN RESUME_PC_LIBS " " RESUME_PC_LIBS)
    configure_file("${PROJECT_SOURCE_DIR}/cmake/resume-import.pc.in"
        "${PROJECT_BINARY_DIR}/resume-import.pc" @ONLY)
    install(FILES "${PROJECT_BINARY_DIR}/resume-import.pc"
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT import)
endif()

foreach(variant IN ITEMS seal seal_firmware)
    if(TARGET resume_${variant})
        string(REPLACE "_" "-" RESUME_PC_NAME resume-${variant})
        if(variant STREQUAL "seal")
            set(RESUME_PC_DESCRIPTION "Read snapshot images (static: use --static)")
            set(RESUME_PC_REQUIRES resume)
            set(RESUME_PC_LIBS "-lresume_seal")
            list(JOIN RESUME_SEAL_MODULES ", " RESUME_PC_MODULES)
            list(TRANSFORM RESUME_SEAL_LIBRARIES PREPEND "-l" OUTPUT_VARIABLE RESUME_PC_PRIVATE)
            list(JOIN RESUME_PC_PRIVATE " " RESUME_PC_PRIVATE)
        else()
            set(RESUME_PC_DESCRIPTION "Read snapshot images (firmware build)")
            set(RESUME_PC_REQUIRES resume-firmware)
            set(RESUME_PC_LIBS "-lresume_seal_firmware -lresume_seal_codecs_firmware")
            set(RESUME_PC_MODULES "")
            set(RESUME_PC_PRIVATE "")
        endif()
        configure_file("${PROJECT_SOURCE_DIR}/cmake/resume-seal.pc.in"
            "${PROJECT_BINARY_DIR}/${RESUME_PC_NAME}.pc" @ONLY)
        install(FILES "${PROJECT_BINARY_DIR}/${RESUME_PC_NAME}.pc"
            DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT seal)
    endif()
endforeach()

if(RESUME_BUILD_TOOLS)
    install(DIRECTORY "${PROJECT_SOURCE_DIR}/docs/man/" DESTINATION ${CMAKE_INSTALL_MANDIR}/man1
        COMPONENT tools FILES_MATCHING PATTERN "*.1")
endif()
install(DIRECTORY "${PROJECT_SOURCE_DIR}/docs/" DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT core
    FILES_MATCHING PATTERN "*.md" PATTERN "*.svg" PATTERN "man" EXCLUDE)
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" "${PROJECT_SOURCE_DIR}/README.md"
    "${PROJECT_SOURCE_DIR}/SECURITY.md" "${PROJECT_SOURCE_DIR}/CHANGELOG.md"
    DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT core)

include(ResumePackage)
