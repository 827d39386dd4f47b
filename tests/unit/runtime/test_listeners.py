from maestro_runtime.running.listeners import Listeners


def test_each_listener_hears_all_news_in_their_order() -> None:
    listeners, first, second = Listeners[int](), list[int](), list[int]()
    listeners.add(first.append)
    listeners.add(second.append)

    listeners.tell(1, 2, 3)
    listeners.tell(4)

    assert first == second == [1, 2, 3, 4]


def test_a_listener_that_raises_hears_no_more_and_the_others_hear_all() -> None:
    listeners, broken, sound = Listeners[int](), list[int](), list[int]()

    def fail_at_two(number: int) -> None:
        broken.append(number)
        if number == 2:
            raise ValueError(number)

    listeners.add(fail_at_two)
    listeners.add(sound.append)

    listeners.tell(1, 2, 3)
    listeners.tell(4)

    assert broken == [1, 2]
    assert sound == [1, 2, 3, 4]
