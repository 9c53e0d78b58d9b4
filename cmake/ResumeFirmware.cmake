# Flags of everything that runs in firmware: no red zone (interrupts use the same stack), no SSE (its
# state is the guest's), no libc, position independent, no sanitizer's calls.
set(RESUME_FIRMWARE_FLAGS
    -ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables -fpic -fshort-wchar
    -mno-red-zone -mgeneral-regs-only -fvisibility=hidden -U_FORTIFY_SOURCE
    -fno-sanitize=all)
