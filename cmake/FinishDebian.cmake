# Run by CPack when the files of all packages are laid out, before they are packed.
find_program(GZIP gzip REQUIRED)

function(compress)
    foreach(file IN LISTS ARGN)
        execute_process(COMMAND ${GZIP} -9n "${file}" COMMAND_ERROR_IS_FATAL ANY)
    endforeach()
endfunction()

file(READ "${CPACK_RESUME_SOURCE}/LICENSE" license)
# SOURCE_DATE_EPOCH counts, if it is set.
string(TIMESTAMP now "%a, %d %b %Y %H:%M:%S +0000" UTC)
foreach(entry IN LISTS CPACK_RESUME_PACKAGES)
    string(REGEX MATCH "^(.*)=(.*)$" entry "${entry}")
    set(package "${CMAKE_MATCH_2}")
    set(root "${CPACK_TEMPORARY_DIRECTORY}/${CMAKE_MATCH_1}${CPACK_PACKAGING_INSTALL_PREFIX}")
    if(NOT IS_DIRECTORY "${root}")
        continue()
    endif()
    # Debian's place for documents has the package's name.
    set(documents "${root}/share/doc/${package}")
    if(IS_DIRECTORY "${root}/share/doc/libresume")
        file(RENAME "${root}/share/doc/libresume" "${documents}")
        file(REMOVE "${documents}/LICENSE")
    endif()
    file(MAKE_DIRECTORY "${documents}")
    file(WRITE "${documents}/copyright" "${license}")
    file(GLOB others "${documents}/LICENSE.*")
    foreach(other IN LISTS others)
        string(REGEX REPLACE ".*LICENSE\\." "" name "${other}")
        file(READ "${other}" text)
        file(APPEND "${documents}/copyright" "\nOf ${name}, which is in libresume_seal_codecs_firmware.a:\n\n${text}")
        file(REMOVE "${other}")
    endforeach()
    file(WRITE "${documents}/changelog" "libresume (${CPACK_PACKAGE_VERSION}) unstable; urgency=medium

  * Packed by the project itself; CHANGELOG.md says what is new.

 -- ${CPACK_PACKAGE_CONTACT}  ${now}
")
    file(GLOB pages "${root}/share/man/man*/*")
    compress("${documents}/changelog" ${pages})
    # Symbols stay, debugging information does not.
    file(GLOB archives "${root}/lib/*.a")
    foreach(archive IN LISTS archives)
        execute_process(COMMAND ${CPACK_RESUME_OBJCOPY} --strip-debug --enable-deterministic-archives
            --remove-section=.comment "${archive}" COMMAND_ERROR_IS_FATAL ANY)
    endforeach()
    if(EXISTS "${root}/lib/libresume/pvh-firmware.elf")
        execute_process(COMMAND ${CPACK_RESUME_OBJCOPY} --strip-all
            "${root}/lib/libresume/pvh-firmware.elf" COMMAND_ERROR_IS_FATAL ANY)
        file(WRITE "${root}/share/lintian/overrides/${package}"
            "# Firmware is loaded by a monitor, never by the system's loader.\n"
            "${package}: statically-linked-binary [usr/lib/libresume/pvh-firmware.elf]\n")
    elseif(EXISTS "${root}/lib/libresume_trampoline.a")
        file(WRITE "${root}/share/lintian/overrides/${package}"
            "# An array of bytes that are copied elsewhere to be run.\n"
            "${package}: no-code-sections [usr/lib/libresume_trampoline.a]\n"
            "${package}: no-code-sections [usr/lib/libresume_trampoline_firmware.a]\n")
    endif()
endforeach()
