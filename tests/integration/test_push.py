"""A committed row ends up in the calendar; what stands there is what should."""

from tests.integration.conftest import World, job


def test_a_committed_job_appears_in_the_calendar_of_everybody_of_its_tenant(world: World) -> None:
    ana, bo = world.connect("u_ana"), world.connect("u_bo")
    stranger = world.connect("u_zoe", tenant="another-tenant")
    world.commit("job_1", job("J-1"))
    world.sync()
    assert world.titles(ana) == world.titles(bo) == ["J-1 · Dallas → Memphis"]
    assert world.titles(stranger) == []
