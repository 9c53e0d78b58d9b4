# resume_warnings(target): the warnings that every target of this project is built with.
function(resume_warnings target)
    target_compile_options(${target} PRIVATE
        -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wvla -Wundef
        -Wmissing-prototypes -Wstrict-prototypes -Wwrite-strings -Wcast-align -Wcast-qual
        -Wformat=2 -Wswitch-enum)
    if(RESUME_WERROR)
        target_compile_options(${target} PRIVATE -Werror)
    endif()
endfunction()
