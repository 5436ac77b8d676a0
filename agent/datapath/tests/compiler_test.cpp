// SPDX-License-Identifier: Apache-2.0
// clang on this machine: what it is given, what is kept, what it says.
#include "agent/datapath/compiler.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "agent/datapath/process.hpp"
#include "agent/datapath/sha256.hpp"
#include "agent/datapath/tests/lab.hpp"

namespace netkite::datapath::lab {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::StartsWith;

TEST(Sha256Test, KnownAnswers) {
  EXPECT_EQ(Sha256().hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256().add("abc").hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256().add("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq").hex(),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  const std::string long_text(1000000, 'a');
  EXPECT_EQ(Sha256().add(long_text.substr(0, 77)).add(long_text.substr(77)).hex(),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(ProcessTest, OutputStatusAndTime) {
  const auto good = run_process({"/bin/sh", "-c", "echo out; echo err >&2; exit 3"}, std::chrono::seconds(5));
  ASSERT_TRUE(ok(good));
  EXPECT_EQ(good->status, 3);
  EXPECT_EQ(good->output, "out\nerr\n");
  const auto slow = run_process({"/bin/sh", "-c", "sleep 60"}, std::chrono::milliseconds(100));
  ASSERT_FALSE(slow);
  EXPECT_EQ(slow.error().code, Code::unavailable);
  EXPECT_FALSE(run_process({"/no/such/program"}, std::chrono::seconds(5)));
}

class CompilerTest : public LabTest {
 protected:
  std::size_t objects() const {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator(folder("cache")))
      count += entry.path().extension() == ".o" ? 1U : 0U;
    return count;
  }
};

TEST_F(CompilerTest, KeepsObjectsByContent) {
  write_file(folder("src/one.bpf.c"), "#include \"value.h\"\nint one(void) { return VALUE; }\n");
  write_file(folder("src/value.h"), "#define VALUE 1\n");
  const auto compiler = Compiler::find(options_.datapath);
  ASSERT_TRUE(ok(compiler));
  const auto first = compiler->compile(folder("src/one.bpf.c"));
  ASSERT_TRUE(ok(first));
  const auto written = fs::last_write_time(*first);
  const auto again = compiler->compile(folder("src/one.bpf.c"));
  ASSERT_TRUE(ok(again));
  EXPECT_EQ(*again, *first);
  EXPECT_EQ(fs::last_write_time(*again), written) << "not compiled twice";

  write_file(folder("src/value.h"), "#define VALUE 2\n");
  const auto changed = compiler->compile(folder("src/one.bpf.c"));
  ASSERT_TRUE(ok(changed));
  EXPECT_NE(*changed, *first) << "a header counts";
  write_file(folder("src/value.h"), "#define VALUE 1\n");
  EXPECT_EQ(compiler->compile(folder("src/one.bpf.c")).value(), *first) << "an old content has its old object";
  EXPECT_EQ(objects(), 2U);
}

TEST_F(CompilerTest, SaysWhatClangSays) {
  write_file(folder("src/bad.bpf.c"), "int bad(void) { return missing; }\n");
  const auto compiler = Compiler::find(options_.datapath);
  ASSERT_TRUE(ok(compiler));
  const auto object = compiler->compile(folder("src/bad.bpf.c"));
  ASSERT_FALSE(object);
  EXPECT_EQ(object.error().code, Code::invalid);
  EXPECT_THAT(object.error().message, HasSubstr("bad.bpf.c:1:24: error: use of undeclared identifier 'missing'"));
  EXPECT_EQ(objects(), 0U);
  EXPECT_TRUE(fs::is_empty(folder("cache"))) << "nothing half-made";
  EXPECT_FALSE(compiler->compile(folder("src/none.bpf.c")));
}

TEST_F(CompilerTest, ClangOfAnOldVersionIsPassedOver) {
  const std::string path = std::getenv("PATH");
  write_file(folder("bin/clang"), "#!/bin/sh\necho 14.0.6\n");
  write_file(folder("bin/clang-17"), "#!/bin/sh\necho 17.0.1\n");
  write_file(folder("bin/clang-18"), "#!/bin/sh\necho 18.1.8\n");
  for (const char* file : {"bin/clang", "bin/clang-17", "bin/clang-18"}) fs::permissions(folder(file), fs::perms::all);
  ::setenv("PATH", folder("bin").c_str(), 1);
  const auto found = Compiler::find(options_.datapath);
  fs::remove(folder("bin/clang-17"));
  fs::remove(folder("bin/clang-18"));
  const auto none = Compiler::find(options_.datapath);
  ::setenv("PATH", path.c_str(), 1);
  ASSERT_TRUE(ok(found));
  EXPECT_EQ(found->version(), "18.1.8");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::not_found);
}

class CompiledDatapathTest : public LabTest {
 protected:
  // The tree's own sources, to be spoilt.
  void copy_sources() {
    fs::create_directories(folder("src"));
    fs::copy(NETKITE_BPF_SOURCES, folder("src/bpf"), fs::copy_options::recursive);
    options_.datapath.source_dir = folder("src/bpf");
  }
};

TEST_F(CompiledDatapathTest, RunsWhatItCompiled) {
  options_.device = config::Device::veth;
  options_.datapath.compile = config::Compile::clang;
  reopen();
  EXPECT_THAT(datapath_->program_origin(), StartsWith("clang "));
  const auto pod = make_pod(wire::DeviceMode::veth, "nkpod1", "10.1.0.2");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  EXPECT_TRUE(reaches_pod(pod) && leaves_pod(pod));
}

TEST_F(CompiledDatapathTest, AnErrorStopsClangModeAndNotAuto) {
  copy_sources();
  write_file(folder("src/bpf/to_pod.bpf.c"), "#include \"lib/none.h\"\n");
  options_.datapath.compile = config::Compile::clang;
  const auto refused = Datapath::open(options_);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("fatal error: 'lib/none.h' file not found"));
  EXPECT_TRUE(pins("maps").empty());

  options_.datapath.compile = config::Compile::automatic;
  reopen();
  EXPECT_EQ(datapath_->program_origin(), "embedded");
  ASSERT_EQ(datapath_->problems().size(), 1U);
  EXPECT_THAT(datapath_->problems()[0], HasSubstr("'lib/none.h' file not found"));
}

TEST_F(CompiledDatapathTest, TheVerifiersWordsStopClangModeAndNotAuto) {
  copy_sources();
  write_file(
      folder("src/bpf/to_pod.bpf.c"),
      "#include \"lib/config.h\"\nSEC(\"tc\") int nk_to_pod(struct __sk_buff *c) { return *(int *)(long)c->len; }\n"
      "char LICENSE[] SEC(\"license\") = \"GPL\";\n");
  options_.datapath.compile = config::Compile::clang;
  const auto refused = Datapath::open(options_);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("R1 invalid mem access 'scalar'"));
  options_.datapath.compile = config::Compile::automatic;
  reopen();
  EXPECT_EQ(datapath_->program_origin(), "embedded");
  EXPECT_EQ(datapath_->problems().size(), 1U);
}

TEST_F(CompiledDatapathTest, AutoWithoutSourcesIsEmbedded) {
  options_.datapath.compile = config::Compile::automatic;
  options_.datapath.source_dir = folder("none");
  reopen();
  EXPECT_EQ(datapath_->program_origin(), "embedded");
  EXPECT_TRUE(datapath_->problems().empty());
}

TEST_F(CompiledDatapathTest, NeedsABpfFileSystem) {
  options_.bpffs = folder("plain");
  const auto opened = Datapath::open(options_);
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message, HasSubstr("is not on a BPF file system: mount -t bpf"));
}

}  // namespace
}  // namespace netkite::datapath::lab
