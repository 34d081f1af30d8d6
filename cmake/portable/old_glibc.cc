// SPDX-License-Identifier: Apache-2.0
// What the static libraries and the headers of Debian 12 and 13 take from a glibc newer than 2.34,
// done with what 2.34 has, so that portable programs run there. Linked into programs and modules of
// HYPERPOD_PORTABLE alone.
#include <dlfcn.h>
#include <link.h>
#include <sys/random.h>

#include <cstdarg>
#include <cstdint>
#include <cstdlib>

namespace {

struct Search {
  std::uintptr_t address;
  dl_find_object* found;
};

// Called for each loaded object; ends the iteration at the one that has the address.
int look_at(dl_phdr_info* object, std::size_t, void* data) {
  const auto* search = static_cast<Search*>(data);
  std::uintptr_t begin = UINTPTR_MAX, end = 0, unwinding = 0;
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object->dlpi_phdr[i];
    const std::uintptr_t at = object->dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_GNU_EH_FRAME) unwinding = at;
    if (segment.p_type != PT_LOAD) continue;
    if (at < begin) begin = at;
    if (at + segment.p_memsz > end) end = at + segment.p_memsz;
  }
  if (search->address < begin || search->address >= end || unwinding == 0) return 0;
  *search->found = {};
  search->found->dlfo_map_start = reinterpret_cast<void*>(begin);
  search->found->dlfo_map_end = reinterpret_cast<void*>(end);
  search->found->dlfo_eh_frame = reinterpret_cast<void*>(unwinding);
  return 1;
}

}  // namespace

// glibc 2.35; libgcc asks it for the unwinding tables of an address. The link map is not filled in:
// libgcc does not read it.
extern "C" int _dl_find_object(void* address, dl_find_object* found) noexcept {
  Search search{reinterpret_cast<std::uintptr_t>(address), found};
  return dl_iterate_phdr(look_at, &search) == 1 ? 0 : -1;
}

// glibc 2.36; std::random_device asks it.
extern "C" std::uint32_t arc4random() noexcept {
  std::uint32_t number = 0;
  if (getrandom(&number, sizeof number, 0) != sizeof number) std::abort();
  return number;
}

// glibc 2.38: its headers rename these functions to ones that know C23's binary numbers as well,
// which nothing here reads.
extern "C" {
long old_strtol(const char*, char**, int) noexcept __asm__("strtol");
long long old_strtoll(const char*, char**, int) noexcept __asm__("strtoll");
unsigned long old_strtoul(const char*, char**, int) noexcept __asm__("strtoul");
unsigned long long old_strtoull(const char*, char**, int) noexcept __asm__("strtoull");
int old_vsscanf(const char*, const char*, va_list) noexcept __asm__("__isoc99_vsscanf");

#pragma GCC visibility push(hidden)
long new_strtol(const char*, char**, int) noexcept __asm__("__isoc23_strtol");
long long new_strtoll(const char*, char**, int) noexcept __asm__("__isoc23_strtoll");
unsigned long new_strtoul(const char*, char**, int) noexcept __asm__("__isoc23_strtoul");
unsigned long long new_strtoull(const char*, char**, int) noexcept __asm__("__isoc23_strtoull");
int new_sscanf(const char*, const char*, ...) noexcept __asm__("__isoc23_sscanf");
#pragma GCC visibility pop
}

long new_strtol(const char* text, char** end, int base) noexcept {
  return old_strtol(text, end, base);
}

long long new_strtoll(const char* text, char** end, int base) noexcept {
  return old_strtoll(text, end, base);
}

unsigned long new_strtoul(const char* text, char** end, int base) noexcept {
  return old_strtoul(text, end, base);
}

unsigned long long new_strtoull(const char* text, char** end, int base) noexcept {
  return old_strtoull(text, end, base);
}

int new_sscanf(const char* text, const char* format, ...) noexcept {
  va_list arguments;
  va_start(arguments, format);
  const int assigned = old_vsscanf(text, format, arguments);
  va_end(arguments);
  return assigned;
}
