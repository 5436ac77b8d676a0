# SPDX-License-Identifier: Apache-2.0
# netkite_test(<name> LABEL <unit|bpf|netns|vm> SOURCES <file>… [DEPENDS <target>…]): a GoogleTest program, run by ctest
# under its label; vm: only on a kernel with netkit. The other netns, vm and faults tests are scripts under tests/.
find_package(GTest REQUIRED)

function(netkite_test name)
  cmake_parse_arguments(arg "" "LABEL" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE netkite_options ${arg_DEPENDS} GTest::gtest GTest::gmock GTest::gtest_main)
  set_target_properties(${name} PROPERTIES UNITY_BUILD OFF)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS ${arg_LABEL})
endfunction()
