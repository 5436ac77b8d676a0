// SPDX-License-Identifier: Apache-2.0
// Who has to do without where there is not room for all.
#include <gmock/gmock.h>

#include "agent/service/registry.hpp"
#include "agent/service/tests/fixture.hpp"

namespace netkite::service {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class AdmissionTest : public ::testing::Test {
 protected:
  // The difference, carried out.
  Changes flush() {
    auto changes = registry.flush();
    maps.apply(changes);
    return changes;
  }

  Registry registry{Facts{}};
  Maps maps;
  const Frontend web = at("10.96.0.1", 80);
};

TEST_F(AdmissionTest, WhoWantsMostHasNothingWhereThereIsNoRoomForAll) {
  registry.set_facts({.max_frontends = 4});
  const auto large = {"10.96.0.3", "10.96.0.4", "10.96.0.5"};
  registry.set_service("shop/large", service_at(large));
  registry.set_service("shop/web", service_at({"10.96.0.1"}));
  registry.set_slice("shop/web-1", slice_of("shop/web", {endpoint("10.0.0.1")}));
  flush();
  EXPECT_THAT(maps.frontends, SizeIs(4));
  EXPECT_THAT(registry.problems(), IsEmpty());

  registry.set_service("shop/late", service_at({"10.96.0.2"}));
  flush();
  EXPECT_THAT(maps.frontends, UnorderedElementsAre(Key(web), Key(at("10.96.0.2", 80))));
  EXPECT_THAT(maps.behind(web), ElementsAre("10.0.0.1:8080"));
  EXPECT_THAT(registry.problems(),
              ElementsAre(AllOf(HasSubstr("service shop/large has none of its 3"), HasSubstr("max_frontends is 4"))));
  // A change elsewhere moves nobody, in whatever order they are looked at.
  registry.set_slice("shop/web-1", slice_of("shop/web", {endpoint("10.0.0.2")}));
  const auto changes = flush();
  EXPECT_THAT(changes.gone_frontends, IsEmpty());
  EXPECT_THAT(maps.frontends, SizeIs(2));

  registry.remove_service("shop/late");
  flush();
  EXPECT_THAT(maps.frontends, SizeIs(4));
  EXPECT_THAT(registry.problems(), IsEmpty());
}

TEST_F(AdmissionTest, OfEqualsTheOldestIsServed) {
  registry.set_facts({.max_frontends = 1});
  auto old = service_at({"10.96.0.2"}), young = service_at({"10.96.0.1"});
  old.created = "2026-01-01T00:00:00Z", young.created = "2026-01-02T00:00:00Z";
  registry.set_service("shop/a", young);
  flush();
  registry.set_service("shop/b", old);
  flush();
  EXPECT_THAT(maps.frontends, ElementsAre(Key(at("10.96.0.2", 80))));
}

TEST_F(AdmissionTest, APodsPortIsServedWhateverServicesWant) {
  registry.set_facts({.addresses = {*Ip::parse("192.0.2.1")}, .max_frontends = 2});
  auto local = service_at({"10.96.0.1", "10.96.0.2"});
  local.external_local = true, local.health_check_port = 30100;
  auto here = endpoint("10.0.0.1");
  here.local = true;
  registry.set_service("shop/web", local);
  registry.set_slice("shop/web-1", slice_of("shop/web", {here}));
  flush();
  EXPECT_THAT(maps.frontends, SizeIs(2));
  EXPECT_EQ(registry.health_checks().at(30100).endpoints, 1U);

  registry.set_host_port("nk1/0", {.pod = "shop/pod",
                                   .protocol = kube::Protocol::tcp,
                                   .port = 8080,
                                   .pod_port = 80,
                                   .address = {},
                                   .pod_addresses = {*Ip::parse("10.0.0.2")},
                                   .order = 1});
  flush();
  EXPECT_THAT(maps.frontends, ElementsAre(Key(at("192.0.2.1", 8080))));
  EXPECT_THAT(registry.problems(), ElementsAre(HasSubstr("service shop/web has none of its 2")));
  EXPECT_EQ(registry.health_checks().at(30100).endpoints, 0U) << "a balancer would send into a hole";
  registry.remove_host_port("nk1/0");
  flush();
  EXPECT_THAT(maps.frontends, SizeIs(2));
}

}  // namespace
}  // namespace netkite::service
